// The operating system as Result: descriptors, files and whatever else is a system call.
//
//   Fd                     a descriptor that closes itself (fd.h)
//   open_file, pread_all, replace_file, remove_tree, lock_file, …   files (file.h)
//   open_beneath           an untrusted path inside a root: the only way into a workspace (file.h)
//
// Every call here returns a Result with the errno in words, retries EINTR and sets CLOEXEC. Most calls
// block on the disk: not from an I/O thread. No global state; thread-safe unless said otherwise.
//
// Example:
//
//   GANTRY_TRY(os::Fd root, os::open_directory(workspace));
//   GANTRY_TRY(os::Fd file, os::open_beneath(root, untrusted, O_RDONLY, os::Beneath::regular_file));
//   GANTRY_TRY(std::string text, os::read_fd(file, mebibytes(1)));
#pragma once

#include "os/fd.h"
#include "os/file.h"
