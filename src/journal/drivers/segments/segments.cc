#include "journal/drivers/segments/segments.h"

#include <algorithm>

#include "journal/drivers/segments/cursor.h"

namespace gantry::journal {
namespace segments {
namespace {

constexpr Bytes min_segment_size = kibibytes(8);
constexpr Bytes max_segment_size = gibibytes(2);  // offsets are 32 bits

class CursorReader final : public Reader {
 public:
  CursorReader(const Catalog& catalog, PayloadCipher* cipher, DurablePoint& durable, uint64_t from_seq)
      : durable_(durable), cursor_(catalog, cipher, std::max<uint64_t>(from_seq, 1)) {}
  Result<std::span<const Record>> next(size_t limit) override { return cursor_.next(limit, durable_.seq()); }
  bool wait(Duration patience) override { return durable_.wait(cursor_.seq(), patience); }

 private:
  DurablePoint& durable_;
  Cursor cursor_;
};

bool is_valid(const Scope& scope) {
  return is_name(scope.tenant) && is_name(scope.domain) && is_name(scope.environment);
}

}  // namespace

SegmentsJournal::SegmentsJournal(Options options, Clock& clock, Random& random, std::unique_ptr<Storage> storage)
    : options_(std::move(options)),
      clock_(clock),
      random_(random),
      lock_wanted_(storage == nullptr),
      storage_(storage ? std::move(storage) : make_file_storage(options_.directory)),
      provisioner_(options_, *storage_),
      checkpoints_(options_, *storage_),
      writer_({options_, clock_, random_, *storage_, catalog_, provisioner_, checkpoints_, durable_, folds_}),
      blobs_(BlobParts{*storage_, clock_, random_, options_.cipher}) {}

void SegmentsJournal::add(Fold& fold) {
  GANTRY_CHECK(state_ == State::made);
  folds_.push_back(&fold);
}

void SegmentsJournal::add(Projection& projection) {
  GANTRY_CHECK(state_ == State::made);
  projectors_.push_back(std::make_unique<Projector>(projection, ProjectorParts{options_, random_, catalog_, durable_}));
}

Result<void> SegmentsJournal::check_options() const {
  const uint64_t segment = options_.segment_size.count;
  if (segment < min_segment_size.count || segment > max_segment_size.count || segment % 4096 != 0)
    return fail(Code::invalid, "a segment size of {} is not a multiple of 4096 between {} and {}",
                format_bytes(options_.segment_size), format_bytes(min_segment_size), format_bytes(max_segment_size));
  if (options_.group_size.count > segment || options_.entry_size > options_.group_size)
    return fail(Code::invalid, "an entry must fit into a group and a group into a segment");
  return {};
}

Result<void> SegmentsJournal::prepare_directory() {
  if (lock_wanted_) {
    GANTRY_TRY_VOID(os::make_directories(options_.directory));
    auto lock = os::lock_file(options_.directory / "lock");
    if (!lock && lock.error().code() == Code::conflict)
      return fail(ErrorId::GR0001, "'{}' is in use", options_.directory.native());
    if (!lock) return std::unexpected(std::move(lock).error());
    lock_ = *std::move(lock);
  }
  GANTRY_TRY_VOID(storage_->make_directory(std::string(segment_directory)));
  GANTRY_TRY_VOID(storage_->make_directory(std::string(Checkpoints::directory)));
  GANTRY_TRY_VOID(blobs_.sweep());
  return storage_->sync_directory("");
}

Result<void> SegmentsJournal::open() {
  GANTRY_CHECK(state_ == State::made);
  auto opened = try_open();
  if (!opened)
    return std::unexpected(std::move(opened).error().wrap("open the journal " + options_.directory.native()));
  return {};
}

Result<void> SegmentsJournal::try_open() {
  GANTRY_TRY_VOID(check_options());
  GANTRY_TRY_VOID(prepare_directory());
  GANTRY_TRY(Recovered recovered, recover({options_, *storage_, catalog_, checkpoints_, folds_}));
  start(recovered);
  return {};
}

void SegmentsJournal::start(const Recovered& recovered) {
  durable_.publish(recovered.end.last_seq);
  provisioner_.start(recovered.prepared, recovered.next_number);
  checkpoints_.start(recovered.newest_checkpoint, recovered.oldest_checkpoint);
  writer_.start(recovered.end);
  std::vector<Projector*> projectors;
  for (auto& projector : projectors_) {
    projector->start();
    projectors.push_back(projector.get());
  }
  housekeeper_ = std::make_unique<Housekeeper>(
      HousekeeperParts{options_, clock_, *storage_, catalog_, checkpoints_, writer_, folds_, std::move(projectors)});
  housekeeper_->start();
  state_ = State::open;
}

void SegmentsJournal::stop() {
  if (state_ != State::open) return;
  state_ = State::stopped;
  // Those that ask the writer first; then the writer, which needs files and leaves a checkpoint.
  housekeeper_->stop();
  writer_.stop();
  durable_.close();
  for (auto& projector : projectors_) projector->stop();
  provisioner_.stop();
  checkpoints_.stop();
  lock_.reset();
}

// Checks what the caller gave before it can do harm: a frame that recovery could not read would be worse.
Result<void> SegmentsJournal::check(const Entry& entry) const {
  if (!is_valid(entry.scope)) return fail(Code::invalid, "'{}' is not a scope", entry.scope.path());
  if (entry.head.size() + entry.body.size() > options_.entry_size.count)
    return fail(Code::invalid, "a payload of {} is above the bound of {}",
                format_bytes_short({entry.head.size() + entry.body.size()}), format_bytes_short(options_.entry_size));
  return {};
}

// Puts the sealed payload into the entry and returns the plaintext, which the folds will see. On the caller's thread,
// so that the one that writes has no more to do than without encryption.
Result<std::string> SegmentsJournal::seal(Entry& entry) const {
  std::string plaintext = std::move(entry.head);
  plaintext += entry.body;
  GANTRY_TRY(entry.head, options_.cipher->seal(entry.scope, seal_context(entry.kind, entry.entity), plaintext));
  entry.body.clear();
  return plaintext;
}

Result<Pending> SegmentsJournal::prepare(std::span<Entry> entries, std::span<Appended> receipts) const {
  Pending pending{.entries = entries, .receipts = receipts};
  for (const Entry& entry : entries) {
    pending.bytes += padded(frame_size(entry));
    if (entry.priority == Priority::accept) pending.priority = Priority::accept;
  }
  if (const uint64_t room = Writer::room_of_group(options_); pending.bytes > room)
    return fail(Code::invalid, "{} in one append are above the bound of {}", format_bytes_short({pending.bytes}),
                format_bytes_short({room}));
  return pending;
}

Task<Result<Appended>> SegmentsJournal::append(Entry entry) {
  if (options_.cipher != nullptr) {
    std::vector<Entry> entries;
    entries.push_back(std::move(entry));
    GANTRY_CO_TRY(auto receipts, co_await append_many(std::move(entries)));
    co_return receipts.front();
  }
  Appended receipt;
  GANTRY_CO_TRY_VOID(check(entry));
  GANTRY_CO_TRY(Pending pending, prepare({&entry, 1}, {&receipt, 1}));
  auto keep = [this, &pending](Suspended caller) { writer_.queue().push(pending, std::move(caller)); };
  co_await suspend(keep);
  if (pending.error) co_return std::unexpected(*std::move(pending.error));
  co_return receipt;
}

Task<Result<std::vector<Appended>>> SegmentsJournal::append_many(std::vector<Entry> entries) {
  std::vector<Appended> receipts(entries.size());
  if (entries.empty()) co_return receipts;
  for (const Entry& entry : entries) GANTRY_CO_TRY_VOID(check(entry));
  std::vector<std::string> opened;
  if (options_.cipher != nullptr) {
    for (Entry& entry : entries) {
      if (!options_.cipher->is_ready(entry.scope)) GANTRY_CO_TRY_VOID(co_await options_.cipher->prepare(entry.scope));
      GANTRY_CO_TRY(std::string plaintext, seal(entry));
      opened.push_back(std::move(plaintext));
    }
  }
  GANTRY_CO_TRY(Pending pending, prepare(entries, receipts));
  pending.opened = opened;
  auto keep = [this, &pending](Suspended caller) { writer_.queue().push(pending, std::move(caller)); };
  co_await suspend(keep);
  if (pending.error) co_return std::unexpected(*std::move(pending.error));
  co_return receipts;
}

Result<std::string> SegmentsJournal::read(Location location) {
  const SegmentPtr segment = catalog_.find(location.segment);
  if (!segment) return fail(Code::not_found, "journal segment {} is no longer there", location.segment);
  return segment->read_payload(location, options_.cipher);
}

std::unique_ptr<Reader> SegmentsJournal::reader(uint64_t from_seq) {
  return std::make_unique<CursorReader>(catalog_, options_.cipher, durable_, from_seq);
}

Task<bool> SegmentsJournal::until_durable(uint64_t seq, SteadyTime deadline) { return durable_.until(seq, deadline); }

std::vector<Lag> SegmentsJournal::lag() const {
  std::vector<Lag> all;
  for (const auto& projector : projectors_) all.push_back(projector->lag());
  return all;
}

Result<Usage> SegmentsJournal::usage() {
  GANTRY_TRY(auto files, storage_->list(std::string(segment_directory)));
  GANTRY_TRY(auto checkpoints, storage_->list(std::string(Checkpoints::directory)));
  GANTRY_TRY(BlobUsage blobs, blobs_.usage());
  Usage usage{.prepared_on_disk = provisioner_.on_disk(), .blobs = blobs};
  for (const StoredName& file : checkpoints) usage.checkpoints_on_disk.count += file.on_disk;
  const SegmentPtr last = catalog_.last();
  for (const SegmentPtr& segment : catalog_.all()) {
    const bool compressed = segment->form() == Form::compressed;
    const std::string path = compressed ? compressed_name(segment->number()) : raw_name(segment->number());
    auto file = std::ranges::find_if(files, [&](const StoredName& one) { return path.ends_with("/" + one.name); });
    SegmentInfo info{.number = segment->number(),
                     .state = compressed ? SegmentState::compressed : SegmentState::sealed,
                     .first_seq = segment->first_seq(),
                     .last_seq = segment->last_seq(),
                     .content = {segment->end()},
                     .on_disk = {file == files.end() ? 0 : file->on_disk}};
    if (segment == last) info.state = SegmentState::active;
    usage.segments_on_disk.count += info.on_disk.count;
    usage.segments.push_back(info);
  }
  return usage;
}

Result<void> SegmentsJournal::tidy_up() {
  std::ignore = checkpoints_.wait();
  if (!writer_.call([this] { writer_.take_checkpoint(); })) return fail(ErrorId::GR0101, "the journal is stopped");
  GANTRY_TRY_VOID(checkpoints_.wait());
  return housekeeper_->pass();
}

}  // namespace segments

uint32_t segments_format() { return segments::format_version; }

std::unique_ptr<Journal> make_segments(Options options, Clock& clock, Random& random) {
  return std::make_unique<segments::SegmentsJournal>(std::move(options), clock, random, nullptr);
}

}  // namespace gantry::journal
