#include "journal/drivers/segments/blob_store.h"

#include <algorithm>

#include "journal/drivers/segments/sealed_blob.h"

namespace gantry::journal::segments {
namespace {

constexpr std::string_view top = "blobs";
constexpr std::string_view unfinished = "blobs/unfinished";
constexpr std::string_view sealed_ending = ".sealed";

std::string directory_of(const BlobId& id) { return fmt::format("{}/{}", top, crypto::hex({id.data(), 1})); }
std::string path_of(const BlobId& id, BlobForm form) {
  return fmt::format("{}/{}{}", directory_of(id), crypto::hex(std::span(id).subspan(1)),
                     form == BlobForm::sealed ? sealed_ending : "");
}

Error not_written(Error error) {
  return Error(ErrorId::GR0101, "write a blob: " + error.reason()).with_hint("free space on the data directory's disk");
}

class FileBlobWriter final : public BlobWriter {
 public:
  FileBlobWriter(BlobStore& store, Storage& storage, std::string name, std::unique_ptr<File> file, BlobForm form)
      : store_(store), storage_(storage), name_(std::move(name)), file_(std::move(file)), form_(form) {}
  ~FileBlobWriter() override {
    // What cannot be removed now is swept at the next start.
    if (!settled_) std::ignore = storage_.remove(name_);
  }

  Result<void> write(std::string_view chunk) override {
    if (auto written = file_->write(size_, chunk); !written)
      return std::unexpected(not_written(std::move(written).error()));
    hash_.update(chunk);
    size_ += chunk.size();
    return {};
  }

  Bytes size() const override { return {size_}; }

  Result<BlobRef> finish() override {
    const BlobRef ref{hash_.finish(), {size_}};
    auto settled = file_->sync();
    if (settled) settled = store_.settle(name_, ref, form_);
    if (!settled) return std::unexpected(not_written(std::move(settled).error()));
    settled_ = true;
    return ref;
  }

 private:
  BlobStore& store_;
  Storage& storage_;
  std::string name_;
  std::unique_ptr<File> file_;
  BlobForm form_;
  crypto::Sha256 hash_;
  uint64_t size_ = 0;
  bool settled_ = false;
};

class FileBlobReader final : public BlobReader {
 public:
  FileBlobReader(const BlobId& id, std::unique_ptr<File> file, uint64_t size)
      : id_(id), file_(std::move(file)), size_(size) {}

  Bytes size() const override { return {size_}; }

  Result<size_t> read(std::span<char> out) override {
    out = out.first(std::min<uint64_t>(out.size(), size_ - offset_));
    GANTRY_TRY(size_t got, file_->read(offset_, out));
    hash_.update(std::string_view(out.data(), got));
    offset_ += got;
    if (got < out.size()) return std::unexpected(damaged_blob(id_, "it became shorter"));
    // Before the last bytes are handed out: nobody may take a damaged blob for a whole one.
    if (offset_ == size_ && !verified_) {
      if (hash_.finish() != id_) return std::unexpected(damaged_blob(id_, "its content does not have its hash"));
      verified_ = true;
    }
    return got;
  }

 private:
  BlobId id_;
  std::unique_ptr<File> file_;
  uint64_t size_;
  uint64_t offset_ = 0;
  crypto::Sha256 hash_;
  bool verified_ = false;
};

}  // namespace

Result<void> BlobStore::sweep() {
  GANTRY_TRY_VOID(storage_.make_directory(std::string(unfinished)));
  GANTRY_TRY(auto entries, storage_.list(std::string(unfinished)));
  for (const StoredName& entry : entries)
    GANTRY_TRY_VOID(storage_.remove(fmt::format("{}/{}", unfinished, entry.name)));
  return storage_.sync_directory(std::string(top));
}

Result<std::unique_ptr<BlobWriter>> BlobStore::create(const Scope& scope) {
  std::string name = fmt::format("{}/{}", unfinished, next_temporary_.fetch_add(1));
  auto file = storage_.open(name, OpenMode::create);
  if (!file) return std::unexpected(not_written(std::move(file).error()));
  const BlobForm form = cipher_ ? BlobForm::sealed : BlobForm::plain;
  auto writer = std::make_unique<FileBlobWriter>(*this, storage_, std::move(name), *std::move(file), form);
  if (cipher_ == nullptr) return writer;
  BlobSalt salt;
  random_.fill(salt);
  return seal_blob(std::move(writer), scope, salt, *cipher_);
}

Result<void> BlobStore::settle(const std::string& temporary, const BlobRef& ref, BlobForm form) {
  const std::string directory = directory_of(ref.id);
  const std::string path = path_of(ref.id, form);
  std::lock_guard lock(names_);
  if (auto there = storage_.open(path, OpenMode::read)) {
    GANTRY_TRY(uint64_t size, (*there)->size());
    if (size == ref.size.count) {
      GANTRY_TRY_VOID(storage_.touch(path));
      // Whoever settled it first may have failed to make its name durable.
      GANTRY_TRY_VOID(storage_.sync_directory(directory));
      return storage_.remove(temporary);
    }
  }
  GANTRY_TRY_VOID(storage_.make_directory(directory));
  GANTRY_TRY_VOID(storage_.sync_directory(std::string(top)));
  GANTRY_TRY_VOID(storage_.rename(temporary, path));
  return storage_.sync_directory(directory);
}

Result<std::unique_ptr<BlobReader>> BlobStore::open(const BlobId& id) {
  BlobForm form = BlobForm::plain;
  auto file = storage_.open(path_of(id, form), OpenMode::read);
  if (!file && file.error().code() == Code::not_found) {
    form = BlobForm::sealed;
    file = storage_.open(path_of(id, form), OpenMode::read);
  }
  if (!file && file.error().code() == Code::not_found)
    return fail(Code::not_found, "there is no blob {}", crypto::hex(id));
  if (!file) return std::unexpected(std::move(file).error());
  GANTRY_TRY(uint64_t size, (*file)->size());
  auto reader = std::make_unique<FileBlobReader>(id, *std::move(file), size);
  if (form == BlobForm::plain) return reader;
  return open_blob(std::move(reader), id, cipher_);
}

Result<std::string> BlobStore::read(const BlobId& id, Bytes limit) {
  GANTRY_TRY(auto reader, open(id));
  if (reader->size() > limit)
    return fail(Code::exhausted, "blob {} is longer than {}", crypto::hex(id), format_bytes_short(limit));
  std::string content(reader->size().count, '\0');
  GANTRY_TRY(size_t got, reader->read(content));
  content.resize(got);
  return content;
}

Result<std::vector<BlobStore::Found>> BlobStore::walk() {
  std::vector<Found> all;
  GANTRY_TRY(auto directories, storage_.list(std::string(top)));
  for (const StoredName& directory : directories) {
    if (directory.kind != StoredName::Kind::directory || directory.name.size() != 2) continue;
    GANTRY_TRY(auto files, storage_.list(fmt::format("{}/{}", top, directory.name)));
    for (StoredName& file : files) {
      // A file with another name is not ours, and is left alone.
      std::string_view name = file.name;
      if (name.ends_with(sealed_ending)) name.remove_suffix(sealed_ending.size());
      auto digest = crypto::unhex(fmt::format("{}{}", directory.name, name));
      Found found;
      if (!digest || digest->size() != found.id.size()) continue;
      std::ranges::copy(*digest, found.id.begin());
      found.file = std::move(file);
      all.push_back(std::move(found));
    }
  }
  return all;
}

bool BlobStore::is_old(const StoredName& file, Duration grace) const { return clock_.now() - file.modified >= grace; }

Result<BlobUsage> BlobStore::collect(std::function<bool(const BlobId&)> referenced, CollectOptions options) {
  GANTRY_TRY(auto all, walk());
  BlobUsage freed;
  for (const Found& found : all) {
    if (!is_old(found.file, options.grace) || referenced(found.id)) continue;
    GANTRY_TRY(bool removed, remove_unused(found, options.grace));
    if (!removed) continue;
    ++freed.count;
    freed.bytes.count += found.file.size;
  }
  return freed;
}

// False if it was written again since it was looked at.
Result<bool> BlobStore::remove_unused(const Found& found, Duration grace) {
  std::lock_guard lock(names_);
  GANTRY_TRY(auto siblings, storage_.list(directory_of(found.id)));
  auto now = std::ranges::find(siblings, found.file.name, &StoredName::name);
  if (now == siblings.end() || !is_old(*now, grace)) return false;
  GANTRY_TRY_VOID(storage_.remove(fmt::format("{}/{}", directory_of(found.id), found.file.name)));
  return true;
}

Result<BlobUsage> BlobStore::usage() {
  GANTRY_TRY(auto all, walk());
  BlobUsage usage{.count = all.size()};
  for (const Found& found : all) usage.bytes.count += found.file.on_disk;
  return usage;
}

}  // namespace gantry::journal::segments
