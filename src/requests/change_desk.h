// Who changes a request that has ended: one at a time. Private to requests/.
#pragma once

#include <mutex>
#include <unordered_set>

#include "requests/views.h"

namespace gantry::requests {

/// Thread-safe. Holds only requests whose change is being journaled in this moment; from the record on, the live table
/// tells.
class ChangeDesk {
 private:
  friend class ChangeHold;
  std::mutex mutex_;
  std::unordered_set<RequestId> busy_;
};

/// While it lives, nobody else changes these requests.
class ChangeHold {
 public:
  explicit ChangeHold(ChangeDesk& desk) : desk_(desk) {}
  ChangeHold(const ChangeHold&) = delete;
  ~ChangeHold() {
    std::lock_guard lock(desk_.mutex_);
    for (const RequestId& id : ids_) desk_.busy_.erase(id);
  }
  /// False if somebody else holds it.
  bool take(const RequestId& id) {
    std::lock_guard lock(desk_.mutex_);
    if (!desk_.busy_.insert(id).second) return false;
    ids_.push_back(id);
    return true;
  }

 private:
  ChangeDesk& desk_;
  std::vector<RequestId> ids_;
};

}  // namespace gantry::requests
