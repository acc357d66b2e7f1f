#include "journal/drivers/segments/checkpoint.h"

#include <pthread.h>

#include <algorithm>

#include "crypto/crypto.h"
#include "journal/drivers/segments/format.h"

namespace gantry::journal::segments {
namespace {

// 0 magic, 8 version u32, 12 crc32c u32 of all behind it, 16 seq, 24 segment, 32 offset, 40 time, 48 folds u64;
// then for each fold: name size u32, state size u64, name, state.
constexpr std::string_view magic = "GNTRYCKP";
constexpr size_t fixed_size = 56;
constexpr Bytes max_size = gibibytes(4);
// Between two pieces of a large state: who applies records waits for the same lock.
constexpr auto pause = std::chrono::microseconds(200);

Error bad(std::string_view what) { return Error(ErrorId::GR0103, fmt::format("a checkpoint is damaged: {}", what)); }

// What recovery looks at before it opens the rest.
std::string context_of(std::string_view encoded) {
  return fmt::format("checkpoint{}", encoded.substr(16, fixed_size - 16));
}

std::string with_version(std::string bytes, uint32_t version) {
  put<uint32_t>(bytes.data() + 8, version);
  put<uint32_t>(bytes.data() + 12, crypto::crc32c(std::string_view(bytes).substr(16)));
  return bytes;
}

std::string name_of(uint64_t seq) { return fmt::format("{:020}.ckpt", seq); }

}  // namespace

std::string encode_checkpoint(const Checkpoint& checkpoint) {
  size_t size = fixed_size;
  for (const FoldState& fold : checkpoint.folds) size += 12 + fold.name.size() + fold.bytes.size();
  std::string out;
  out.reserve(size);
  out.resize(fixed_size);
  std::memcpy(out.data(), magic.data(), magic.size());
  put<uint32_t>(out.data() + 8, plain_version);
  put<uint64_t>(out.data() + 16, checkpoint.seq);
  put<uint64_t>(out.data() + 24, checkpoint.segment);
  put<uint64_t>(out.data() + 32, checkpoint.offset);
  put<int64_t>(out.data() + 40, checkpoint.time.time_since_epoch().count());
  put<uint64_t>(out.data() + 48, checkpoint.folds.size());
  for (const FoldState& fold : checkpoint.folds) {
    char sizes[12];
    put<uint32_t>(sizes, static_cast<uint32_t>(fold.name.size()));
    put<uint64_t>(sizes + 4, fold.bytes.size());
    out.append(sizes, sizeof sizes).append(fold.name).append(fold.bytes);
  }
  put<uint32_t>(out.data() + 12, crypto::crc32c(std::string_view(out).substr(16)));
  return out;
}

Result<Checkpoint> decode_checkpoint(std::string_view bytes) {
  if (bytes.size() < fixed_size || !bytes.starts_with(magic)) return std::unexpected(bad("it does not begin as one"));
  if (get<uint32_t>(bytes.data() + 8) > format_version)
    return fail(ErrorId::GR0104, "format version {} of a checkpoint", get<uint32_t>(bytes.data() + 8));
  if (get<uint32_t>(bytes.data() + 12) != crypto::crc32c(bytes.substr(16)))
    return std::unexpected(bad("it does not have its checksum"));
  if (get<uint32_t>(bytes.data() + 8) != plain_version) return std::unexpected(bad("its version is none"));
  Checkpoint checkpoint{.seq = get<uint64_t>(bytes.data() + 16),
                        .segment = get<uint64_t>(bytes.data() + 24),
                        .offset = get<uint64_t>(bytes.data() + 32),
                        .time = Time(Duration(get<int64_t>(bytes.data() + 40)))};
  auto count = get<uint64_t>(bytes.data() + 48);
  std::string_view rest = bytes.substr(fixed_size);
  for (; count > 0; --count) {
    if (rest.size() < 12) return std::unexpected(bad("it ends early"));
    const auto name_size = get<uint32_t>(rest.data());
    const auto state_size = get<uint64_t>(rest.data() + 4);
    rest.remove_prefix(12);
    if (name_size > rest.size() || state_size > rest.size() - name_size) return std::unexpected(bad("it ends early"));
    checkpoint.folds.push_back(
        {std::string(rest.substr(0, name_size)), std::string(rest.substr(name_size, state_size))});
    rest.remove_prefix(name_size + state_size);
  }
  if (!rest.empty()) return std::unexpected(bad("it goes on behind its end"));
  return checkpoint;
}

Result<std::string> seal_checkpoint(std::string encoded, PayloadCipher& cipher) {
  GANTRY_TRY(std::string sealed,
             cipher.seal(Scope::standard(), context_of(encoded), std::string_view(encoded).substr(fixed_size)));
  encoded.resize(fixed_size);
  return with_version(encoded + sealed, sealed_version);
}

Result<std::string> open_checkpoint(std::string bytes, PayloadCipher* cipher) {
  if (bytes.size() < fixed_size || !bytes.starts_with(magic)) return bytes;
  if (get<uint32_t>(bytes.data() + 8) != sealed_version) return bytes;
  if (get<uint32_t>(bytes.data() + 12) != crypto::crc32c(std::string_view(bytes).substr(16))) return bytes;
  if (cipher == nullptr) return fail(ErrorId::GR1002, "a checkpoint is encrypted");
  auto opened = cipher->open(Scope::standard(), context_of(bytes), std::string_view(bytes).substr(fixed_size));
  if (!opened) return std::unexpected(bad(opened.error().reason()));
  bytes.resize(fixed_size);
  return with_version(bytes + *opened, plain_version);
}

Result<std::vector<std::string>> Checkpoints::list() const {
  GANTRY_TRY(auto entries, storage_.list(std::string(directory)));
  std::vector<std::string> names;
  for (const StoredName& entry : entries)
    if (entry.name.ends_with(".ckpt")) names.push_back(entry.name);
  std::ranges::reverse(names);
  return names;
}

Result<Checkpoint> Checkpoints::load(const std::string& name) const {
  auto bytes = read_whole(storage_, fmt::format("{}/{}", directory, name), max_size);
  if (bytes) bytes = open_checkpoint(*std::move(bytes), options_.cipher);
  if (!bytes) return std::unexpected(std::move(bytes).error().wrap("read '" + name + "'"));
  auto checkpoint = decode_checkpoint(*bytes);
  if (!checkpoint) return std::unexpected(std::move(checkpoint).error().wrap("read '" + name + "'"));
  return checkpoint;
}

void Checkpoints::start(uint64_t newest_seq, uint64_t oldest_seq) {
  newest_seq_ = newest_seq;
  oldest_seq_ = oldest_seq;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "journal-ckpt");
}

void Checkpoints::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Checkpoints::submit(OpenCheckpoint checkpoint) {
  {
    std::lock_guard lock(mutex_);
    if (next_ || writing_ || stopping_) return false;
    next_ = std::move(checkpoint);
  }
  changed_.notify_all();
  return true;
}

bool Checkpoints::busy() const {
  std::lock_guard lock(mutex_);
  return next_ || writing_;
}

Result<void> Checkpoints::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !next_ && !writing_; });
  if (failure_) return std::unexpected(*failure_);
  return {};
}

void Checkpoints::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return next_ || stopping_; });
    if (!next_) return;
    OpenCheckpoint open = *std::exchange(next_, std::nullopt);
    writing_ = true;
    lock.unlock();
    auto written = write(complete(std::move(open)));
    if (!written) {
      options_.notify(Severity::warning, written.error().reason());
      last_size_.store(0, std::memory_order_relaxed);  // the next one is not to be waited for
    }
    lock.lock();
    writing_ = false;
    failure_.reset();
    if (!written) failure_ = std::move(written).error();
    changed_.notify_all();
  }
}

Checkpoint Checkpoints::complete(OpenCheckpoint open) {
  Checkpoint checkpoint = std::move(open.checkpoint);
  for (OpenCheckpoint::Part& part : open.parts) {
    FoldState state{.name = std::move(part.name), .bytes = {}};
    // A piece is made under the fold's lock, the whole grows outside of it.
    std::string piece;
    while (part.snapshot->append_to(piece)) {
      state.bytes += std::exchange(piece, {});
      std::this_thread::sleep_for(pause);
    }
    state.bytes += piece;
    part.snapshot.reset();
    checkpoint.folds.push_back(std::move(state));
  }
  return checkpoint;
}

Result<void> Checkpoints::write(const Checkpoint& checkpoint) {
  std::string content = encode_checkpoint(checkpoint);
  if (options_.cipher != nullptr) {
    GANTRY_TRY(content, seal_checkpoint(std::move(content), *options_.cipher));
  }
  GANTRY_TRY_VOID(replace(storage_, std::string(directory), name_of(checkpoint.seq), content));
  if (checkpoint.seq != newest_seq()) {
    // With one checkpoint only, the log must still be there from its beginning: the older one is "seq 0".
    oldest_seq_.store(newest_seq(), std::memory_order_release);
    newest_seq_.store(checkpoint.seq, std::memory_order_release);
  }
  written_.fetch_add(1, std::memory_order_relaxed);
  last_size_.store(content.size(), std::memory_order_relaxed);
  prune();
  return {};
}

void Checkpoints::prune() {
  auto names = list();
  if (!names) return;
  for (size_t i = kept; i < names->size(); ++i)
    std::ignore = storage_.remove(fmt::format("{}/{}", directory, (*names)[i]));
}

}  // namespace gantry::journal::segments
