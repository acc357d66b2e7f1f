#include "journal/drivers/segments/sealed_blob.h"

#include <algorithm>
#include <cstring>

#include "journal/drivers/segments/format.h"

namespace gantry::journal::segments {
namespace {

constexpr std::string_view magic = "GNTRYBLB";
constexpr size_t fixed_size = 33;
constexpr size_t chunk_size = 64 << 10;
constexpr size_t sealed_chunk_size = chunk_size + PayloadCipher::overhead;

enum class Last : uint8_t { no, yes };

std::string encode_blob_header(const Scope& scope, const BlobSalt& salt) {
  const std::string path = scope.path();
  std::string header(fixed_size, '\0');
  std::memcpy(header.data(), magic.data(), magic.size());
  put<uint32_t>(header.data() + 8, sealed_version);
  put<uint32_t>(header.data() + 12, chunk_size);
  std::memcpy(header.data() + 16, salt.data(), salt.size());
  put<uint8_t>(header.data() + 32, static_cast<uint8_t>(path.size()));
  return header + path;
}

/// The chunks of one blob in order, and what each is sealed as.
class Chunks {
 public:
  Chunks(Scope scope, BlobSalt salt) : scope_(std::move(scope)), context_("blob") {
    context_.append(salt.begin(), salt.end());
    context_.append(9, '\0');
  }
  Result<std::string> seal(PayloadCipher& cipher, std::string_view content, Last last) {
    return cipher.seal(scope_, next(last), content);
  }
  Result<std::string> open(PayloadCipher& cipher, std::string_view sealed, Last last) {
    return cipher.open(scope_, next(last), sealed);
  }

 private:
  std::string_view next(Last last) {
    char* end = context_.data() + context_.size();
    put<uint64_t>(end - 9, number_++);
    put<uint8_t>(end - 1, static_cast<uint8_t>(last));
    return context_;
  }
  Scope scope_;
  std::string context_;
  uint64_t number_ = 0;
};

class SealingWriter final : public BlobWriter {
 public:
  SealingWriter(std::unique_ptr<BlobWriter> file, Chunks chunks, PayloadCipher& cipher)
      : file_(std::move(file)), chunks_(std::move(chunks)), cipher_(cipher) {}

  Result<void> write(std::string_view content) override {
    size_ += content.size();
    // A full chunk waits for more: it may be the last one.
    while (buffer_.size() + content.size() > chunk_size) {
      const size_t taken = chunk_size - buffer_.size();
      buffer_ += content.substr(0, taken);
      content.remove_prefix(taken);
      GANTRY_TRY_VOID(emit(Last::no));
    }
    buffer_ += content;
    return {};
  }

  Bytes size() const override { return {size_}; }

  Result<BlobRef> finish() override {
    GANTRY_TRY_VOID(emit(Last::yes));
    GANTRY_TRY(BlobRef ref, file_->finish());
    ref.size = {size_};
    return ref;
  }

 private:
  Result<void> emit(Last last) {
    GANTRY_TRY(std::string sealed, chunks_.seal(cipher_, buffer_, last));
    buffer_.clear();
    return file_->write(sealed);
  }

  std::unique_ptr<BlobWriter> file_;
  Chunks chunks_;
  PayloadCipher& cipher_;
  std::string buffer_;
  uint64_t size_ = 0;
};

class OpeningReader final : public BlobReader {
 public:
  OpeningReader(std::unique_ptr<BlobReader> file, const BlobId& id, Chunks chunks, uint64_t sealed,
                PayloadCipher& cipher)
      : file_(std::move(file)), id_(id), chunks_(std::move(chunks)), sealed_left_(sealed), cipher_(cipher) {
    const uint64_t count = (sealed + sealed_chunk_size - 1) / sealed_chunk_size;
    size_ = sealed - count * PayloadCipher::overhead;
  }

  Bytes size() const override { return {size_}; }

  Result<size_t> read(std::span<char> out) override {
    size_t done = 0;
    while (done < out.size()) {
      if (taken_ == opened_.size()) {
        if (sealed_left_ == 0) break;
        GANTRY_TRY_VOID(next_chunk());
      }
      const size_t count = std::min(out.size() - done, opened_.size() - taken_);
      std::memcpy(out.data() + done, opened_.data() + taken_, count);
      taken_ += count;
      done += count;
    }
    return done;
  }

 private:
  Result<void> next_chunk() {
    std::string sealed(std::min<uint64_t>(sealed_left_, sealed_chunk_size), '\0');
    GANTRY_TRY(size_t got, file_->read(sealed));
    if (got != sealed.size()) return std::unexpected(damaged_blob(id_, "it became shorter"));
    sealed_left_ -= got;
    auto opened = chunks_.open(cipher_, sealed, sealed_left_ == 0 ? Last::yes : Last::no);
    if (!opened) return std::unexpected(damaged_blob(id_, opened.error().reason()));
    opened_ = *std::move(opened);
    taken_ = 0;
    return {};
  }

  std::unique_ptr<BlobReader> file_;
  BlobId id_;
  Chunks chunks_;
  uint64_t sealed_left_;
  uint64_t size_ = 0;
  PayloadCipher& cipher_;
  std::string opened_;
  size_t taken_ = 0;
};

}  // namespace

Error damaged_blob(const BlobId& id, std::string_view what) {
  return Error(ErrorId::GR0103, fmt::format("blob {} is damaged: {}", crypto::hex(id), what))
      .with_hint("restore the journal directory from a backup");
}

Result<std::unique_ptr<BlobWriter>> seal_blob(std::unique_ptr<BlobWriter> file, const Scope& scope, BlobSalt salt,
                                              PayloadCipher& cipher) {
  GANTRY_TRY_VOID(cipher.prepare_blocking(scope));
  GANTRY_TRY_VOID(file->write(encode_blob_header(scope, salt)));
  return std::make_unique<SealingWriter>(std::move(file), Chunks(scope, salt), cipher);
}

Result<std::unique_ptr<BlobReader>> open_blob(std::unique_ptr<BlobReader> file, const BlobId& id,
                                              PayloadCipher* cipher) {
  if (cipher == nullptr) return fail(ErrorId::GR1002, "blob {} is encrypted", crypto::hex(id));
  std::string header(fixed_size, '\0');
  GANTRY_TRY(size_t got, file->read(header));
  if (got < fixed_size || !header.starts_with(magic)) return std::unexpected(damaged_blob(id, "it has no header"));
  if (get<uint32_t>(header.data() + 8) > format_version)
    return fail(ErrorId::GR0104, "format version {} of a blob", get<uint32_t>(header.data() + 8));
  std::string path(get<uint8_t>(header.data() + 32), '\0');
  GANTRY_TRY(got, file->read(path));
  auto scope = Scope::parse(path);
  const uint64_t header_bytes = fixed_size + path.size();
  // An empty content is one chunk too; no chunk is shorter than what sealing adds.
  const uint64_t sealed = file->size().count - std::min(file->size().count, header_bytes);
  const uint64_t tail = sealed % sealed_chunk_size;
  if (got < path.size() || !scope || get<uint32_t>(header.data() + 12) != chunk_size || sealed == 0 ||
      (tail > 0 && tail < PayloadCipher::overhead))
    return std::unexpected(damaged_blob(id, "its header does not fit"));
  BlobSalt salt;
  std::memcpy(salt.data(), header.data() + 16, salt.size());
  return std::make_unique<OpeningReader>(std::move(file), id, Chunks(*std::move(scope), salt), sealed, *cipher);
}

}  // namespace gantry::journal::segments
