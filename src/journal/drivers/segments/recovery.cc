#include "journal/drivers/segments/recovery.h"

#include <algorithm>
#include <set>

#include "journal/drivers/segments/cursor.h"
#include "journal/drivers/segments/deletions.h"
#include "journal/drivers/segments/inventory.h"

namespace gantry::journal::segments {
namespace {

constexpr size_t replay_batch = 1'000;

/// One recovery; `recover` tells its story.
class Recovery {
 public:
  explicit Recovery(RecoveryParts parts) : parts_(std::move(parts)) {}

  Result<Recovered> run() {
    GANTRY_TRY_VOID(find_segments());
    GANTRY_TRY_VOID(load_checkpoint());
    GANTRY_TRY_VOID(find_log_end());
    GANTRY_TRY_VOID(replay());
    GANTRY_TRY_VOID(remove_leftovers());
    return std::move(result_);
  }

 private:
  Result<void> find_segments() {
    GANTRY_TRY(Deletions deletions, Deletions::load(parts_.storage));
    GANTRY_TRY(Inventory inventory, take_inventory(parts_.options, parts_.storage, deletions));
    has_gaps_ = !deletions.empty();
    for (SegmentPtr& segment : inventory.log) parts_.catalog.add(std::move(segment));
    result_.prepared = std::move(inventory.prepared);
    result_.next_number = inventory.next_number;
    leftovers_ = std::move(inventory.leftovers);
    return {};
  }

  // The newest one that is whole and that every fold accepts. A fold that it does not know starts empty and
  // sees the whole log.
  Result<void> load_checkpoint() {
    GANTRY_TRY(auto names, parts_.checkpoints.list());
    for (const std::string& name : names) {
      auto loaded = parts_.checkpoints.load(name);
      // Not damage: with the right program, or with the key, it is of use.
      if (!loaded && (loaded.error().id() == ErrorId::GR0104 || loaded.error().id() == ErrorId::GR1002))
        return std::unexpected(std::move(loaded).error());
      Result<void> usable;
      if (!loaded) usable = std::unexpected(std::move(loaded).error());
      // NOLINTNEXTLINE(bugprone-use-after-move): only its error was moved, and then it is not usable
      if (usable && !checkpoint_) usable = restore(*loaded);
      if (!usable) {
        parts_.options.notify(Severity::warning, "a checkpoint is of no use: " + usable.error().reason());
        continue;
      }
      (checkpoint_ ? result_.oldest_checkpoint : result_.newest_checkpoint) = loaded->seq;
      if (!checkpoint_) checkpoint_ = *std::move(loaded);
    }
    if (!checkpoint_) {
      for (Fold* fold : parts_.folds) fold->reset();
      incomplete_.insert(parts_.folds.begin(), parts_.folds.end());
      if (has_gaps_)
        return fail(ErrorId::GR0103, "no checkpoint is usable, and parts of the log that they stood for were deleted");
    }
    return {};
  }

  Result<void> restore(const Checkpoint& checkpoint) {
    incomplete_.clear();
    for (Fold* fold : parts_.folds) {
      auto state = std::ranges::find(checkpoint.folds, fold->name(), &FoldState::name);
      fold->reset();
      if (state == checkpoint.folds.end()) {
        incomplete_.insert(fold);
        continue;
      }
      if (auto restored = fold->restore(state->bytes); !restored)
        return std::unexpected(std::move(restored).error().wrap(fold->name()));
    }
    return {};
  }

  uint64_t checkpoint_seq() const { return checkpoint_ ? checkpoint_->seq : 0; }

  // The last write may be in the page cache only: shown to somebody, it could still be lost with the machine.
  // To flush is not enough, since the flush of the process that died may have failed: then the kernel has
  // forgotten that the pages are not on the disk. So they are written again.
  static Result<void> make_durable(File& file, const FoundEnd& found) {
    uint64_t start = found.last_group.value_or(found.extent.end);
    if (start == header_size) start = 0;  // the header went out with the first group
    std::string bytes(found.extent.end - std::min(start, found.extent.end), '\0');
    GANTRY_TRY(size_t got, file.read(start, bytes));
    GANTRY_TRY_VOID(file.write(start, std::string_view(bytes).substr(0, got)));
    return file.sync();
  }

  Result<void> find_log_end() {
    SegmentPtr last = parts_.catalog.last();
    result_.end.last_time = checkpoint_ ? checkpoint_->time : Time();
    if (!last) return check_reaches_checkpoint(0);
    result_.end.last_seq = last->last_seq();
    if (std::shared_ptr<File> file = last->file()) {
      GANTRY_TRY(FoundEnd found, find_end(*file, last->header(), scan_start(*last)));
      GANTRY_TRY_VOID(make_durable(*file, found));
      GANTRY_TRY(uint64_t size, file->size());
      if (!found.clean)
        parts_.options.notify(Severity::info, fmt::format("cut an unfinished write off journal segment {} at {}",
                                                          last->number(), found.extent.end));
      last->advance(header_size, last->first_seq(), found.extent);
      result_.end.last_seq = found.extent.last_seq;
      // Sealed records need a segment whose version says so.
      const bool same_form = last->header().version == version_to_write(parts_.options);
      result_.end.continues = found.clean && found.extent.end < size && same_form;
    }
    return check_reaches_checkpoint(result_.end.last_seq);
  }

  SegmentExtent scan_start(const Segment& last) const {
    if (checkpoint_ && checkpoint_->segment == last.number() && checkpoint_->offset >= header_size)
      return {.end = checkpoint_->offset, .last_seq = checkpoint_->seq};
    return {.end = header_size, .last_seq = last.first_seq() - 1};
  }

  Result<void> check_reaches_checkpoint(uint64_t last_seq) const {
    if (last_seq >= checkpoint_seq()) return {};
    return fail(ErrorId::GR0103, "the log ends at record {} but a checkpoint was written behind record {}", last_seq,
                checkpoint_seq());
  }

  Result<void> replay() {
    if (!parts_.catalog.last()) return {};
    Cursor cursor = first_record();
    for (;;) {
      GANTRY_TRY(auto batch, cursor.next(replay_batch, result_.end.last_seq));
      if (batch.empty()) break;
      for (const Record& record : batch) {
        for (Fold* fold : parts_.folds)
          if (record.seq > checkpoint_seq() || incomplete_.contains(fold)) fold->apply(record);
        result_.end.last_time = std::max(result_.end.last_time, record.time);
      }
    }
    if (cursor.seq() <= result_.end.last_seq)
      return fail(ErrorId::GR0103, "records {} to {} are missing", cursor.seq(), result_.end.last_seq);
    return {};
  }

  Cursor first_record() const {
    if (!incomplete_.empty()) return Cursor(parts_.catalog, parts_.options.cipher, 1);
    const uint64_t from = checkpoint_seq() + 1;
    SegmentPtr segment = checkpoint_ ? parts_.catalog.find(checkpoint_->segment) : nullptr;
    if (!segment) return Cursor(parts_.catalog, parts_.options.cipher, from);
    return Cursor(parts_.catalog, parts_.options.cipher, from, segment, checkpoint_->offset);
  }

  Result<void> remove_leftovers() {
    for (const std::string& name : leftovers_)
      GANTRY_TRY_VOID(parts_.storage.remove(fmt::format("{}/{}", segment_directory, name)));
    return parts_.storage.sync_directory(std::string(segment_directory));
  }

  RecoveryParts parts_;
  Recovered result_;
  std::vector<std::string> leftovers_;
  bool has_gaps_ = false;  // retention deleted something
  std::optional<Checkpoint> checkpoint_;
  std::set<Fold*> incomplete_;  // not in the checkpoint
};

}  // namespace

Result<Recovered> recover(RecoveryParts parts) { return Recovery(std::move(parts)).run(); }

}  // namespace gantry::journal::segments
