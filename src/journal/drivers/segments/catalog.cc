#include "journal/drivers/segments/catalog.h"

#include <algorithm>

namespace gantry::journal::segments {
namespace {

uint64_t number_of(const SegmentPtr& segment) { return segment->number(); }

}  // namespace

void Catalog::add(SegmentPtr segment) {
  std::lock_guard lock(mutex_);
  GANTRY_CHECK(segments_.empty() || segments_.back()->number() < segment->number());
  segments_.push_back(std::move(segment));
}

void Catalog::remove(uint64_t number) {
  std::lock_guard lock(mutex_);
  std::erase_if(segments_, [number](const SegmentPtr& segment) { return segment->number() == number; });
}

std::vector<SegmentPtr> Catalog::all() const {
  std::lock_guard lock(mutex_);
  return segments_;
}

SegmentPtr Catalog::find(uint64_t number) const {
  std::lock_guard lock(mutex_);
  auto at = std::ranges::lower_bound(segments_, number, {}, number_of);
  return at != segments_.end() && (*at)->number() == number ? *at : nullptr;
}

SegmentPtr Catalog::containing(uint64_t seq) const {
  std::lock_guard lock(mutex_);
  auto at = std::ranges::partition_point(segments_, [seq](const SegmentPtr& one) { return one->last_seq() < seq; });
  if (at != segments_.end()) return *at;
  return segments_.empty() ? nullptr : segments_.back();
}

SegmentPtr Catalog::next(uint64_t number) const {
  std::lock_guard lock(mutex_);
  auto at = std::ranges::upper_bound(segments_, number, {}, number_of);
  return at == segments_.end() ? nullptr : *at;
}

SegmentPtr Catalog::last() const {
  std::lock_guard lock(mutex_);
  return segments_.empty() ? nullptr : segments_.back();
}

uint64_t Catalog::first_seq() const {
  std::lock_guard lock(mutex_);
  return segments_.empty() ? 1 : segments_.front()->first_seq();
}

}  // namespace gantry::journal::segments
