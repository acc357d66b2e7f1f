#include "journal/journal_fake.h"

#include "crypto/crypto.h"
#include "journal/drivers/segments/segments.h"

namespace gantry::journal {

namespace {

constexpr size_t nonce_size = 24;
constexpr size_t tag_size = 16;
constexpr size_t prefix_size = 4 + nonce_size;

// The keystream: SHA-256 of scope, key, nonce and a counter.
void blend(const Scope& scope, std::string_view prefix, std::string& text) {
  const std::string seed = scope.path() + std::string(prefix);
  for (size_t at = 0; at < text.size(); at += sizeof(crypto::Digest)) {
    const crypto::Digest block = crypto::sha256(fmt::format("{}{}", seed, at));
    for (size_t i = 0; i < block.size() && at + i < text.size(); ++i)
      text[at + i] = static_cast<char>(text[at + i] ^ static_cast<char>(block[i]));
  }
}

std::string tag_of(const Scope& scope, std::string_view context, std::string_view sealed) {
  const crypto::Digest digest = crypto::hmac_sha256(fmt::format("{}|{}", scope.path(), context), sealed);
  return std::string(digest.begin(), digest.begin() + tag_size);
}

}  // namespace

bool FakeCipher::is_ready(const Scope& scope) const {
  std::lock_guard lock(mutex_);
  return newest_.contains(scope);
}

Task<Result<void>> FakeCipher::prepare(Scope scope) { co_return prepare_blocking(scope); }

Result<void> FakeCipher::prepare_blocking(const Scope& scope) {
  std::lock_guard lock(mutex_);
  newest_.try_emplace(scope, 1);
  return {};
}

Result<std::string> FakeCipher::seal(const Scope& scope, std::string_view context, std::string_view plaintext) {
  std::string prefix(prefix_size, '\0');
  {
    std::lock_guard lock(mutex_);
    auto key = newest_.find(scope);
    // The server's own scope always has one.
    if (key == newest_.end() && scope != Scope::standard()) return fail(Code::not_found, "the scope has no key");
    segments::put<uint32_t>(prefix.data(), key == newest_.end() ? 1 : key->second);
    segments::put<uint64_t>(prefix.data() + 4, ++seals_);
  }
  std::string text(plaintext);
  blend(scope, prefix, text);
  std::string sealed = prefix + text;
  return sealed + tag_of(scope, context, sealed);
}

Result<std::string> FakeCipher::open(const Scope& scope, std::string_view context, std::string_view sealed) {
  {
    std::lock_guard lock(mutex_);
    ++opened_;
  }
  if (sealed.size() < overhead) return fail(Code::data_loss, "it is shorter than a sealed text");
  const std::string_view body = sealed.substr(0, sealed.size() - tag_size);
  if (tag_of(scope, context, body) != sealed.substr(body.size())) return fail(Code::data_loss, "it was changed");
  std::string text(body.substr(prefix_size));
  blend(scope, body.substr(0, prefix_size), text);
  return text;
}

void FakeCipher::rotate() {
  std::lock_guard lock(mutex_);
  for (auto& [scope, key] : newest_) ++key;
}

uint64_t FakeCipher::opened() const {
  std::lock_guard lock(mutex_);
  return opened_;
}

Options memory_journal_options() {
  return {.segment_size = kibibytes(256),
          .group_size = kibibytes(128),
          .entry_size = kibibytes(64),
          .checkpoint_every = kibibytes(64),
          .compress_after = Duration::zero(),
          .housekeeping_every = std::chrono::milliseconds(20),
          .probe_every = std::chrono::milliseconds(5),
          .projection_linger = std::chrono::milliseconds(1)};
}

std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Options options, Clock& clock, Random& random) {
  return std::make_unique<segments::SegmentsJournal>(std::move(options), clock, random, disk.storage());
}

std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Clock& clock, Random& random) {
  return make_memory_journal(disk, memory_journal_options(), clock, random);
}

}  // namespace gantry::journal
