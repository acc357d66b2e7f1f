// The file operations of the journal behind an interface, so that a test can fail, tear or lose the n-th.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::journal {

/// One open file. `read` is thread-safe, also beside `write`; writes come from one thread at a time.
class File {
 public:
  virtual ~File() = default;
  /// Fills `out` as far as the file reaches; returns how far.
  virtual Result<size_t> read(uint64_t offset, std::span<char> out) = 0;
  /// All bytes, or an error after which any part of them may be there.
  virtual Result<void> write(uint64_t offset, std::string_view bytes) = 0;
  /// fdatasync: what was written before is durable. After an error it is unknown which part is, and a
  /// later success says nothing about it (PostgreSQL's "fsyncgate", 2018).
  virtual Result<void> sync() = 0;
  /// Makes the file this long, a multiple of 4096, every block of it written with zeros: later writes below
  /// `size` need no new space and change no metadata.
  virtual Result<void> fill_with_zeros(uint64_t size) = 0;
  virtual Result<uint64_t> size() = 0;
};

/// How `Storage::open` opens.
enum class OpenMode {
  read,    ///< must exist
  write,   ///< must exist; also readable
  create,  ///< new and empty, or emptied; also readable
};

/// One entry of a directory.
struct StoredName {
  std::string name;
  enum class Kind { file, directory } kind = Kind::file;
  uint64_t size = 0;
  uint64_t on_disk = 0;
  Time modified;
};

/// The directory of a journal. Names are relative, with `/`. Thread-safe. Names become durable with
/// `sync_directory` of their parent ("" is the top).
class Storage {
 public:
  virtual ~Storage() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& name, OpenMode mode) = 0;
  /// Replaces `to` if it exists.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  /// Nothing there is success.
  virtual Result<void> remove(const std::string& name) = 0;
  /// Sets the time of the last change to now.
  virtual Result<void> touch(const std::string& name) = 0;
  /// With its parents; existing is success.
  virtual Result<void> make_directory(const std::string& name) = 0;
  virtual Result<void> sync_directory(const std::string& name) = 0;
  /// Sorted by name. `not_found` if there is no such directory.
  virtual Result<std::vector<StoredName>> list(const std::string& directory) = 0;
};

/// The real one.
std::unique_ptr<Storage> make_file_storage(std::filesystem::path root);

/// Replaces a file as a whole and durably: temporary file, sync, rename, sync of the directory.
Result<void> replace(Storage& storage, const std::string& directory, const std::string& name, std::string_view content);
/// A whole file; `exhausted` if it is longer than `limit`.
Result<std::string> read_whole(Storage& storage, const std::string& name, Bytes limit);

}  // namespace gantry::journal
