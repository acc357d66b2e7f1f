// The operating system as Result: descriptors, files and whatever else is a system call.
//
//   Fd                     a descriptor that closes itself (fd.h)
//   open_file, pread_all, replace_file, remove_tree, lock_file, …   files (file.h)
//   spawn_process, open_pidfd, identify_process   children and other processes (process.h)
//   send_packet, receive_packet, describe_socket  messages with descriptors (unix_socket.h)
//   CgroupTree, Cgroup     limits for groups of processes (cgroup.h)
//   open_signal_fd, signal_name   signals as values (signal.h)
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

#include "os/cgroup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "os/signal.h"
#include "os/unix_socket.h"
