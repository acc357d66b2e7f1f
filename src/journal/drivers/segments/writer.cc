#include "journal/drivers/segments/writer.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>

namespace gantry::journal::segments {
namespace {

// Room for it is kept: the largest group of a burst should not pin its memory forever.
constexpr size_t kept_buffer = 1 << 20;
constexpr size_t page_size = 4096;

bool is_accept(const Pending* pending) { return pending->priority == Priority::accept; }

}  // namespace

uint32_t version_to_write(const Options& options) { return options.cipher ? sealed_version : plain_version; }

uint64_t Writer::room_of_group(const Options& options) {
  return std::min(options.group_size.count, Provisioner::size_of(1, options) - header_size);
}

void Writer::start(LogEnd end) {
  last_seq_ = end.last_seq;
  last_time_ = end.last_time;
  if (end.continues) {
    segment_ = parts_.catalog.last();
    header_ = segment_->header();
    file_ = segment_->file();
    file_size_ = file_->size().value_or(0);
    end_ = segment_->end();
    salt_crc_ = segment_->salt_crc();
  }
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "journal-writer");
}

void Writer::stop() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

bool Writer::call(std::move_only_function<void()> job) {
  std::mutex mutex;
  std::condition_variable done;
  bool ended = false;
  const bool queued = queue_.run_soon([&] {
    job();
    std::lock_guard lock(mutex);
    ended = true;
    done.notify_one();
  });
  if (!queued) return false;
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return ended; });
  return true;
}

Health Writer::health() const {
  const Health health = health_.load(std::memory_order_relaxed);
  // Nobody may have tried since space returned.
  return health == Health::reserve && !parts_.provisioner.failing() ? Health::ready : health;
}

Stats Writer::stats() const {
  return {.records = records_.load(std::memory_order_relaxed),
          .bytes = bytes_.load(std::memory_order_relaxed),
          .groups = groups_.load(std::memory_order_relaxed),
          .failed_groups = failed_groups_.load(std::memory_order_relaxed),
          .checkpoints = parts_.checkpoints.written(),
          .flush_time = Duration(flush_ns_.load(std::memory_order_relaxed)),
          .queued = queue_.size()};
}

void Writer::run() {
  for (;;) {
    // While it is down, somebody must look whether it still is; appends do not, they fail at once.
    std::optional<Duration> patience;
    if (down_) patience = parts_.options.probe_every;
    Work work = queue_.take(room(), room_of_group(parts_.options), patience);
    for (auto& job : work.jobs) job();
    if (!work.group.empty())
      commit(std::move(work.group));
    else if (work.closed)
      break;
    else if (down_ && work.jobs.empty())
      probe();
  }
  if (last_seq_ != parts_.checkpoints.newest_seq()) {
    std::ignore = parts_.checkpoints.wait();
    take_checkpoint();
  }
}

uint64_t Writer::room() const {
  const uint64_t limit = room_of_group(parts_.options);
  return file_ ? std::min(limit, file_size_ - std::min(end_, file_size_)) : limit;
}

void Writer::commit(std::vector<Pending*> group) {
  if (down_) return refuse(group, *down_);
  if (!parts_.provisioner.has_reserve())
    refuse_accepts(group, Error(ErrorId::GR0101, "the disk is full; only work that was accepted is finished"));
  uint64_t bytes = 0;
  for (const Pending* pending : group) bytes += pending->bytes;
  if (!group.empty() && (!file_ || end_ + bytes > file_size_)) {
    auto rolled = roll(Priority::accept);
    if (!rolled) {
      refuse_accepts(group, rolled.error());
      if (!group.empty()) rolled = roll(Priority::finish);
      if (!rolled) refuse(group, rolled.error());
    }
  }
  if (group.empty()) return;
  if (auto written = write_group(group); !written) {
    failed_groups_.fetch_add(1, std::memory_order_relaxed);
    parts_.options.notify(Severity::error, "a write to the journal failed: " + written.error().reason());
    const bool voided = abandon() == Voided::yes;
    return refuse(group, Error(voided ? ErrorId::GR0101 : ErrorId::GR0102, written.error().reason()));
  }
  publish(group);
}

// A new file becomes the one to write. The header waits in the buffer for the first group, so that a roll costs
// no flush of its own.
Result<void> Writer::roll(Priority priority) {
  GANTRY_TRY(Prepared prepared, parts_.provisioner.take(priority));
  header_ = next_header(prepared);
  file_ = std::move(prepared.file);
  file_size_ = prepared.size;
  segment_ = nullptr;
  salt_crc_ = segments::salt_crc(header_.salt);
  end_ = header_size;
  return {};
}

void Writer::enter_catalog() {
  SegmentPtr before = parts_.catalog.last();
  parts_.catalog.add(segment_);
  if (before) before->seal();
}

SegmentHeader Writer::next_header(const Prepared& prepared) {
  SegmentHeader header{.version = version_to_write(parts_.options),
                       .number = prepared.number,
                       .first_seq = last_seq_ + 1,
                       .group_limit = room_of_group(parts_.options) + header_size + page_size,
                       .created = parts_.clock.now()};
  if (SegmentPtr last = parts_.catalog.last()) {
    header.previous = last->number();
    header.previous_end = last->end();
  }
  uint8_t salt[8];
  parts_.random.fill(salt);
  for (uint8_t byte : salt) header.salt = header.salt << 8 | byte;
  return header;
}

void Writer::encode(const std::vector<Pending*>& group) {
  uint8_t flags = flag_group_start;
  uint64_t seq = last_seq_;
  const uint64_t base = end_ - buffer_.size();
  last_time_ = std::max(last_time_, parts_.clock.now());
  for (Pending* pending : group) {
    for (size_t i = 0; i < pending->entries.size(); ++i) {
      if (i + 1 < pending->entries.size()) flags |= flag_batch_continues;
      if (!pending->opened.empty()) flags |= flag_sealed;
      const uint64_t at = base + buffer_.size();
      encode_frame(pending->entries[i], {.seq = ++seq, .time = last_time_, .flags = flags, .salt_crc = salt_crc_},
                   buffer_);
      pending->receipts[i] = {
          seq, {header_.number, static_cast<uint32_t>(at), static_cast<uint32_t>(frame_size(pending->entries[i]))}};
      flags = 0;
    }
  }
}

Result<void> Writer::write_group(const std::vector<Pending*>& group) {
  buffer_.clear();
  const bool fresh = segment_ == nullptr;
  if (fresh) buffer_ = encode_header(header_);
  encode(group);
  const SteadyTime before = parts_.clock.steady();
  GANTRY_TRY_VOID(flush_buffer());
  flush_ns_.fetch_add((parts_.clock.steady() - before).count(), std::memory_order_relaxed);
  return {};
}

// Up to the end of a page, with the zeros that are there already: the kernel need not read the rest of a page
// that it does not have.
Result<void> Writer::flush_buffer() {
  const uint64_t offset = segment_ ? end_ : 0;
  const size_t used = buffer_.size();
  buffer_.append((page_size - (offset + used) % page_size) % page_size, '\0');
  auto written = file_->write(offset, buffer_);
  buffer_.resize(used);
  if (!written) return written;
  return file_->sync();
}

// The group is durable: the order from here is segment, folds, readers, appenders. The segment first, because whoever a
// fold tells of a record may read it at once by its location.
void Writer::publish(const std::vector<Pending*>& group) {
  const bool fresh = segment_ == nullptr;
  const uint64_t buffer_offset = fresh ? 0 : end_;
  const uint64_t group_offset = fresh ? header_size : end_;
  const uint64_t group_bytes = buffer_.size() - (fresh ? header_size : 0);
  const uint64_t group_seq = last_seq_ + 1;
  for (const Pending* pending : group) last_seq_ += pending->entries.size();
  end_ = group_offset + group_bytes;
  if (fresh)
    segment_ = std::make_shared<Segment>(parts_.storage, header_, SegmentExtent{header_size, header_.first_seq - 1},
                                         Form::raw, file_);
  segment_->advance(group_offset, group_seq, {end_, last_seq_});
  if (fresh) enter_catalog();
  fold(group, buffer_offset);
  parts_.durable.publish(last_seq_);

  groups_.fetch_add(1, std::memory_order_relaxed);
  records_.fetch_add(last_seq_ + 1 - group_seq, std::memory_order_relaxed);
  bytes_.fetch_add(group_bytes, std::memory_order_relaxed);
  if (std::ranges::any_of(group, is_accept)) health_.store(Health::ready, std::memory_order_relaxed);
  resume(group);

  log_since_checkpoint_ += group_bytes;
  if (checkpoint_is_due(fresh)) take_checkpoint();
  if (buffer_.capacity() > kept_buffer) buffer_ = {};
}

// `base` is where the buffer begins in the segment.
void Writer::fold(const std::vector<Pending*>& group, uint64_t base) {
  if (parts_.folds.empty()) return;
  // From the bytes that were written and not from the entries: recovery sees the same. Only what was sealed is not
  // opened again: that would cost this thread as much as all the rest.
  for (const Pending* pending : group) {
    for (size_t i = 0; i < pending->receipts.size(); ++i) {
      const Appended& receipt = pending->receipts[i];
      Frame frame;
      const std::string_view bytes = std::string_view(buffer_).substr(receipt.location.offset - base);
      read_frame(bytes, frame);
      if (!pending->opened.empty()) {
        frame.payload = pending->opened[i];
        frame.flags &= static_cast<uint8_t>(~flag_sealed);
      }
      auto record = maker_.make(frame, header_.number, receipt.location.offset);
      GANTRY_CHECK(record.has_value());
      for (Fold* one : parts_.folds) one->apply(*record);
    }
  }
}

// After a failed write or flush nothing is known about the bytes behind the last durable one, and a later
// flush of the same pages would prove nothing. They are declared void by the header of a new segment, which
// says where the valid log ends; only when that is durable may an appender be told that nothing was stored.
Writer::Voided Writer::abandon() {
  for (size_t i = 0; i < Provisioner::target; ++i) {
    auto moved = try_next_segment();
    if (moved) return Voided::yes;
    down_ = moved.error();
  }
  health_.store(Health::down, std::memory_order_relaxed);
  parts_.options.notify(Severity::error, "the journal cannot write: " + down_->reason());
  return Voided::unknown;
}

Result<void> Writer::try_next_segment() {
  // A file that never became part of the log is of no more use; recovery or housekeeping removes it.
  file_ = nullptr;
  segment_ = nullptr;
  GANTRY_TRY_VOID(roll(Priority::finish));
  buffer_ = encode_header(header_);
  if (auto flushed = flush_buffer(); !flushed) {
    file_ = nullptr;
    return fail(ErrorId::GR0101, "{}", flushed.error().reason());
  }
  segment_ = std::make_shared<Segment>(parts_.storage, header_, SegmentExtent{header_size, header_.first_seq - 1},
                                       Form::raw, file_);
  enter_catalog();
  return {};
}

void Writer::probe() {
  auto moved = try_next_segment();
  if (!moved) {
    down_ = moved.error();
    return;
  }
  down_.reset();
  health_.store(Health::ready, std::memory_order_relaxed);
  parts_.options.notify(Severity::info, "the journal can write again");
}

// In proportion to what it writes: the state of a long backlog is many times as large as the log between two of them
// would be. Half as much as the log at most, then; but on a full disk it decides what may be deleted.
bool Writer::checkpoint_is_due(bool fresh) const {
  const uint64_t every = parts_.options.checkpoint_every.count;
  if (!fresh && log_since_checkpoint_ < every) return false;
  const uint64_t size = parts_.checkpoints.last_size().count;
  const bool in_proportion = log_since_checkpoint_ >= 2 * size || (fresh && 2 * size <= every);
  return in_proportion || parts_.provisioner.failing();
}

bool Writer::take_checkpoint() {
  if (parts_.checkpoints.busy() || !parts_.catalog.last()) return false;
  SegmentPtr last = parts_.catalog.last();
  OpenCheckpoint checkpoint;
  checkpoint.checkpoint = {
      .seq = last_seq_, .segment = last->number(), .offset = last->end(), .time = last_time_, .folds = {}};
  for (Fold* fold : parts_.folds) checkpoint.parts.push_back({std::string(fold->name()), fold->snapshot()});
  log_since_checkpoint_ = 0;
  return parts_.checkpoints.submit(std::move(checkpoint));
}

void Writer::refuse_accepts(std::vector<Pending*>& group, const Error& error) {
  std::vector<Pending*> refused;
  std::ranges::copy_if(group, std::back_inserter(refused), is_accept);
  if (refused.empty()) return;
  std::erase_if(group, is_accept);
  health_.store(Health::reserve, std::memory_order_relaxed);
  refuse(refused, error);
}

void Writer::refuse(std::vector<Pending*>& group, const Error& error) {
  for (Pending* pending : group) pending->error = error;
  resume(group);
  group.clear();
}

void Writer::resume(const std::vector<Pending*>& group) {
  std::vector<Suspended> callers;
  callers.reserve(group.size());
  // SAFETY: a Pending lives in its appender's frame and is gone as soon as that is resumed.
  for (Pending* pending : group) callers.push_back(*std::exchange(pending->caller, std::nullopt));
  Suspended::resume_all(callers);
}

}  // namespace gantry::journal::segments
