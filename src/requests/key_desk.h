// Who may use an Idempotency-Key: one at a time asks whether it was used, and nobody in between accepts a request under
// it. Private to requests/.
#pragma once

#include <map>
#include <mutex>

#include "requests/history.h"

namespace gantry::requests {

/// Thread-safe. Holds only keys whose request is being accepted in this moment.
class KeyDesk {
 public:
  KeyDesk(LiveTable& live, History& history) : live_(live), history_(history) {}

  Task<Result<KeyClaim>> claim(KeyName name, crypto::Digest fingerprint);
  void release(const KeyName& name);
  Task<bool> wait(KeyName name, SteadyTime deadline);

 private:
  bool take(const KeyName& name);
  KeyClaim judge(const KeyHolder& holder, const crypto::Digest& fingerprint) const;

  LiveTable& live_;
  History& history_;
  std::mutex mutex_;
  std::map<KeyName, std::shared_ptr<Notifier>> busy_;
};

}  // namespace gantry::requests
