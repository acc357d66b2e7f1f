#include "requests/key_desk.h"

namespace gantry::requests {

bool KeyDesk::take(const KeyName& name) {
  std::lock_guard lock(mutex_);
  return busy_.emplace(name, std::make_shared<Notifier>()).second;
}

// Taken first and looked up then: whoever was accepted under the key before is in the live table or, once it left
// that, in the history, and nobody else can be accepted meanwhile.
Task<Result<KeyClaim>> KeyDesk::claim(KeyName name, crypto::Digest fingerprint) {
  if (!take(name)) co_return KeyClaim{.state = KeyClaim::State::busy};
  std::optional<KeyHolder> holder = live_.find_key(name);
  if (!holder) {
    auto found = co_await history_.find_key(name);
    if (!found) {
      release(name);
      co_return std::unexpected(std::move(found).error().wrap("look up the idempotency key"));
    }
    holder = std::move(*found);
    // Requeued between the two looks.
    if (!holder) holder = live_.find_key(name);
  }
  if (!holder) co_return KeyClaim{.state = KeyClaim::State::mine};
  release(name);
  co_return judge(*holder, fingerprint);
}

KeyClaim KeyDesk::judge(const KeyHolder& holder, const crypto::Digest& fingerprint) const {
  const bool same = holder.fingerprint == fingerprint;
  return {.state = same ? KeyClaim::State::held : KeyClaim::State::other, .holder = holder.request};
}

void KeyDesk::release(const KeyName& name) {
  std::shared_ptr<Notifier> waiting;
  {
    std::lock_guard lock(mutex_);
    auto found = busy_.find(name);
    if (found == busy_.end()) return;
    waiting = std::move(found->second);
    busy_.erase(found);
  }
  waiting->notify();
}

Task<bool> KeyDesk::wait(KeyName name, SteadyTime deadline) {
  std::shared_ptr<Notifier> busy;
  Notifier::Ticket ticket = 0;
  {
    std::lock_guard lock(mutex_);
    auto found = busy_.find(name);
    if (found == busy_.end()) co_return true;
    busy = found->second;
    ticket = busy->ticket();
  }
  co_return co_await busy->wait(ticket, deadline);
}

}  // namespace gantry::requests
