// One listing of what is live and what is history.
#include <algorithm>

#include "requests/history.h"

namespace gantry::requests {
namespace {

bool comes_first(Filter::Sequence sequence, uint64_t a, uint64_t b) {
  return sequence == Filter::Sequence::newest_first ? a > b : a < b;
}

// The nearer end of two looks; 0 is none.
uint64_t nearer(Filter::Sequence sequence, uint64_t a, uint64_t b) {
  if (a == 0 || b == 0) return a + b;
  return comes_first(sequence, a, b) ? a : b;
}

}  // namespace

Task<Result<Page>> Requests::list(Scope scope, Filter filter) {
  // One more than asked for tells whether there is a next page.
  Filter wider = filter;
  ++wider.limit;
  LiveTable::Found live = live_->list(scope, wider);
  GANTRY_CO_TRY(History::Found rows, co_await history_->list(scope, wider));
  // What was purged is gone at once; what was requeued has a row of its life before until that is projected.
  std::erase_if(rows.views, [&](const RequestView& row) {
    auto seq = live_->accept_seq(row.id);
    return live_->is_purged(row.id) || (seq && *seq != row.accept_seq);
  });
  Page page;
  page.requests.reserve(live.views.size() + rows.views.size());
  // Both are in order; what was projected between the two looks is in both.
  std::merge(std::make_move_iterator(live.views.begin()), std::make_move_iterator(live.views.end()),
             std::make_move_iterator(rows.views.begin()), std::make_move_iterator(rows.views.end()),
             std::back_inserter(page.requests), [&](const RequestView& a, const RequestView& b) {
               return comes_first(filter.sequence, a.accept_seq, b.accept_seq);
             });
  auto last = std::unique(page.requests.begin(), page.requests.end(),
                          [](const RequestView& a, const RequestView& b) { return a.accept_seq == b.accept_seq; });
  page.requests.erase(last, page.requests.end());
  // Behind the place where one of them stopped looking, the other one alone would leave gaps.
  const uint64_t stop = nearer(filter.sequence, live.scanned_to, rows.scanned_to);
  if (stop != 0)
    std::erase_if(page.requests,
                  [&](const RequestView& view) { return comes_first(filter.sequence, stop, view.accept_seq); });
  page.next = stop;
  if (page.requests.size() > filter.limit) {
    page.requests.resize(filter.limit);
    page.next = page.requests.back().accept_seq;
  }
  co_return page;
}

}  // namespace gantry::requests
