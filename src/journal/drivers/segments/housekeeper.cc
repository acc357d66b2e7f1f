#include "journal/drivers/segments/housekeeper.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "journal/drivers/segments/compressed.h"

namespace gantry::journal::segments {
namespace {

// Not 19: then a busy machine would stop the thread altogether, and `stop` waits for it.
constexpr int low_priority = 10;

}  // namespace

void Housekeeper::start() {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "journal-keeper");
}

void Housekeeper::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Housekeeper::run() {
  // SAFETY: on Linux a thread id is accepted here and only this thread gets nice. If it is refused, the
  // work is done at normal priority.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), low_priority);
  std::string reported;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, parts_.options.housekeeping_every, [this] { return stopping_.load(); })) return;
    }
    auto done = pass();
    if (stopping_) return;
    // The same trouble comes back every few seconds: say it once.
    const std::string trouble = done ? std::string() : done.error().reason();
    if (!trouble.empty() && trouble != reported)
      parts_.options.notify(Severity::warning, "housekeeping of the journal: " + trouble);
    reported = trouble;
  }
}

Result<void> Housekeeper::pass() {
  std::lock_guard lock(pass_mutex_);
  GANTRY_TRY_VOID(remove_strays());
  GANTRY_TRY_VOID(remove(deletable()));
  return compress_sealed();
}

// The active segment stays, and so does what a recovery with the older checkpoint would read.
std::vector<SegmentPtr> Housekeeper::deletable() {
  std::vector<SegmentPtr> candidates = parts_.catalog.all();
  if (!candidates.empty()) candidates.pop_back();
  const uint64_t covered = parts_.checkpoints.oldest_seq();
  std::erase_if(candidates, [&](const SegmentPtr& segment) {
    return segment->last_seq() > covered || is_kept_by_projection(*segment);
  });
  drop_what_folds_need(candidates);
  return candidates;
}

bool Housekeeper::is_kept_by_projection(const Segment& segment) {
  const bool empty = segment.last_seq() < segment.first_seq();
  return !empty && std::ranges::any_of(parts_.projectors, [&](Projector* projector) {
    return projector->reached() < segment.last_seq() ||
           projector->projection().needs(segment.first_seq(), segment.last_seq()).value_or(true);
  });
}

void Housekeeper::drop_what_folds_need(std::vector<SegmentPtr>& candidates) {
  if (candidates.empty()) return;
  // A fold belongs to the writer thread.
  const bool asked = parts_.writer.call([&] {
    std::erase_if(candidates, [&](const SegmentPtr& segment) {
      return segment->last_seq() >= segment->first_seq() && std::ranges::any_of(parts_.folds, [&](Fold* fold) {
               return fold->needs(segment->first_seq(), segment->last_seq());
             });
    });
  });
  if (!asked) candidates.clear();
}

Result<void> Housekeeper::remove(const std::vector<SegmentPtr>& segments) {
  if (segments.empty()) return {};
  // What the next segment's header says of a deleted one must be kept: first the list, then the files.
  GANTRY_TRY(Deletions deletions, Deletions::load(parts_.storage));
  for (const SegmentPtr& segment : segments) deletions.add(segment->header());
  GANTRY_TRY_VOID(deletions.store(parts_.storage));
  for (const SegmentPtr& segment : segments) {
    parts_.catalog.remove(segment->number());
    GANTRY_TRY_VOID(parts_.storage.remove(raw_name(segment->number())));
    GANTRY_TRY_VOID(parts_.storage.remove(compressed_name(segment->number())));
  }
  return {};
}

// Files of segments that were abandoned before they became part of the log. Numbers above the active
// segment's are prepared, or being tried by the writer.
Result<void> Housekeeper::remove_strays() {
  GANTRY_TRY(auto entries, parts_.storage.list(std::string(segment_directory)));
  const SegmentPtr last = parts_.catalog.last();
  if (!last) return {};
  const std::string active = raw_name(last->number());
  for (const StoredName& entry : entries) {
    const std::string path = fmt::format("{}/{}", segment_directory, entry.name);
    if (!entry.name.ends_with(".log") || path >= active) continue;
    const auto all = parts_.catalog.all();
    const bool known = std::ranges::any_of(all, [&](const SegmentPtr& segment) {
      return segment->form() == Form::raw && raw_name(segment->number()) == path;
    });
    if (known) continue;
    GANTRY_TRY_VOID(parts_.storage.remove(path));
  }
  return {};
}

Result<void> Housekeeper::compress_sealed() {
  if (parts_.options.compression == Compression::off) return {};
  std::vector<SegmentPtr> segments = parts_.catalog.all();
  if (!segments.empty()) segments.pop_back();
  const Time now = parts_.clock.now();
  for (const SegmentPtr& segment : segments) {
    // Sealed bytes do not become shorter.
    if (segment->header().version >= sealed_version) continue;
    if (segment->form() == Form::compressed || now - segment->header().created < parts_.options.compress_after)
      continue;
    GANTRY_TRY_VOID(compress(parts_.storage, *segment, stopping_));
    segment->mark_compressed();
    GANTRY_TRY_VOID(parts_.storage.remove(raw_name(segment->number())));
  }
  return {};
}

}  // namespace gantry::journal::segments
