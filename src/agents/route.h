// The hot path of this folder: where the proxy sends a request. Part of the door (agents.h).
//
// A Route is one agent as the proxy sees it; it lives as long as the agent and is found by one
// lock-free lookup. A Target is one ready instance. A Lease is the right to have one request in
// flight there; it ends when destroyed. The choice is least-loaded, bounded by `concurrency` per
// instance, under one short mutex (about 50 ns).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agents/breaker.h"
#include "agents/window.h"
#include "async/async.h"
#include "base/base.h"
#include "core/core.h"
#include "os/os.h"

namespace gantry::net {
struct Traffic;
}

namespace gantry::agents {

class Route;

/// Opens connections into one instance: the sandbox in production, a fake in tests.
class Dialer {
 public:
  virtual ~Dialer() = default;
  /// A connected socket to `port` inside; `unavailable` if nothing listens or the instance is gone.
  virtual Task<Result<os::Fd>> dial(uint16_t port) = 0;
};

/// One ready instance. Stays valid while somebody holds it; `alive` tells if it still runs. A restart
/// makes a new Target, so a connection can never reach another life of the program.
class Target : public std::enable_shared_from_this<Target> {
 public:
  struct Names {
    InstanceId instance;
    uint32_t replica = 0;
    uint64_t generation = 0;  ///< grows with each start of the program in this replica
  };
  Target(Names names, uint16_t port, std::shared_ptr<Dialer> dialer);

  InstanceId instance() const { return names_.instance; }
  uint32_t replica() const { return names_.replica; }
  uint64_t generation() const { return names_.generation; }
  /// What went over connections to it; who opens one lets it count there. Never null.
  const std::shared_ptr<net::Traffic>& traffic() const { return traffic_; }
  /// A new connection to the program's port.
  Task<Result<os::Fd>> dial() { return dialer_->dial(port_); }
  /// False from the moment that its death is known; `Listener::died` is called right after.
  bool alive() const { return alive_.load(std::memory_order_acquire); }

 private:
  friend class Route;
  const Names names_;
  const uint16_t port_;
  const std::shared_ptr<Dialer> dialer_;
  const std::shared_ptr<net::Traffic> traffic_;
  std::atomic<bool> alive_ = true;
  Breaker breaker_;              // guarded by Route::mutex_
  bool told_of_death_ = false;   // guarded by Route::mutex_; a death is one failure
  bool is_shut_ = false;         // guarded by Route::mutex_
  uint32_t in_flight_ = 0;       // guarded by Route::mutex_
  uint64_t requests_total_ = 0;  // guarded by Route::mutex_
  RequestWindow window_;         // guarded by Route::mutex_
};

/// How a request went, as the circuit breakers of the instance and the agent see it.
enum class Went {
  well,    ///< there was an answer that is none of the failures
  badly,   ///< no connection, no answer in time, or an answer that counts as a failure
  died,    ///< the instance ended or broke the connection: many requests at once may see the same death
  unseen,  ///< it was interrupted, or cancelled
};

/// What a lease tells at its end.
struct LeaseEnd {
  bool probe = false;  ///< the request tried what a breaker had closed off
  Went went = Went::unseen;
  SteadyTime began{};
};

/// One request in flight at one instance. Movable; releases its slot when destroyed.
class Lease {
 public:
  /// For `Route`: the slot is counted already.
  Lease(std::shared_ptr<Route> route, std::shared_ptr<Target> target, LeaseEnd end)
      : route_(std::move(route)), target_(std::move(target)), end_(end) {}
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  Target& target() const { return *target_; }
  std::shared_ptr<Target> share_target() const { return target_; }
  /// How it went; counts when the slot is given back.
  void report(Went went) { end_.went = went; }
  /// Gives the slot back early. Idempotent.
  void release();

 private:
  std::shared_ptr<Route> route_;
  std::shared_ptr<Target> target_;
  LeaseEnd end_;
};

/// What the owner of requests wants to know. Called from any thread with no lock held; must not
/// block. Registered before `Agents::start`, outlives `Agents`.
class Listener {
 public:
  virtual ~Listener() = default;
  /// After a `try_acquire` that asked to be notified: a slot or an instance became available, or
  /// `Route::availability` changed. Once; ask again to be notified again.
  virtual void available(const std::shared_ptr<Route>& route) = 0;
  /// An instance became ready.
  virtual void ready(const std::shared_ptr<Route>& route) = 0;
  /// An instance is gone: cut its connections now.
  virtual void died(const std::shared_ptr<Route>& route, InstanceId instance) = 0;
  /// The agent was removed: its unfinished requests become dead letters.
  virtual void removed(const std::shared_ptr<Route>& route) = 0;
};

/// Whether requests can be served, for the choice between forwarding, waiting and refusing.
enum class Availability {
  ready,     ///< at least one instance is ready (perhaps busy)
  starting,  ///< none is ready, but the agent is meant to run
  paused,    ///< requests wait until `resume`
  stopped,   ///< requests wait until `start`
  removed,   ///< the agent is gone
};
std::string_view to_string(Availability availability);

/// What `try_acquire` does when no slot is free.
enum class OnNone { give_up, notify };

/// One agent as the proxy sees it. Thread-safe.
class Route : public std::enable_shared_from_this<Route> {
 public:
  /// The clock outlives it.
  Route(AgentId agent, std::string name, Scope scope, std::vector<Listener*> listeners, Clock& clock);

  AgentId agent() const { return agent_; }
  const std::string& name() const { return name_; }
  const Scope& scope() const { return scope_; }
  /// The spec of the current revision: persistence, retry, timeout, public. Never null.
  std::shared_ptr<const core::AgentSpec> spec() const;
  Availability availability() const;

  /// A slot on the least-loaded ready instance, nullopt if none is free or the agent is paused. With
  /// `OnNone::notify` the next slot or instance calls `Listener::available` once; a slot that
  /// becomes free between the two is not missed.
  std::optional<Lease> try_acquire(OnNone on_none);

  /// When a slot may be tried again that only a circuit breaker keeps back; nullopt if none is kept back so.
  std::optional<SteadyTime> reopens_at() const;
  /// Of the agent as a whole.
  Breaker::State breaker_state() const;

  /// In-flight requests and requests ever sent, of one instance.
  struct Load {
    uint32_t in_flight = 0;
    uint64_t requests_total = 0;
    Breaker::State breaker = Breaker::State::closed;
  };
  Load load(InstanceId instance) const;

  /// What went through lately. Requests that were cancelled or interrupted are not counted.
  struct Use {
    RequestWindow::Reading requests;
    uint64_t bytes_in = 0, bytes_out = 0;  ///< to the program and from it, since its start
  };
  Use use(InstanceId instance) const;
  /// Of all instances, also those that are gone.
  RequestWindow::Reading requests() const;

  // The rest is for the supervisor of this agent.

  void set_spec(std::shared_ptr<const core::AgentSpec> spec);
  /// What `availability` says while no instance is ready; anything but `starting` closes the agent
  /// for new requests. Wakes who waits; `removed` tells the listeners.
  void set_intent(Availability intent);
  /// Called without a lock when the last request of a draining instance ends. Set before `add`.
  void on_drained(std::function<void(InstanceId)> callback) { on_drained_ = std::move(callback); }
  void add(std::shared_ptr<Target> target);
  /// No new requests for this instance until `reopen`; it still counts as one that may take them again.
  void shut(InstanceId instance);
  /// False if it was not added before, or drains.
  bool reopen(InstanceId instance);
  /// No new requests for this instance; those in flight go on. How many there are.
  uint32_t drain(InstanceId instance);
  /// The instance is dead: drained, not alive, and the listeners know.
  void kill(InstanceId instance);

 private:
  friend class Lease;
  void release(Target& target, LeaseEnd end);
  void judge(Target& target, LeaseEnd end);
  /// Of those that take new requests and whose breaker lets one through, the one with the fewest in flight that has a
  /// free slot.
  Target* least_loaded() const;
  bool is_open(const Breaker& breaker) const { return !breaker.is_closed() && !breaker.allows(clock_.steady()); }
  /// Tells the listeners if somebody waits; call without the lock.
  void wake();
  bool take_waiting_if(bool changed);

  const AgentId agent_;
  const std::string name_;
  const Scope scope_;
  const std::vector<Listener*> listeners_;
  Clock& clock_;
  std::function<void(InstanceId)> on_drained_;
  mutable std::mutex mutex_;
  std::shared_ptr<const core::AgentSpec> spec_;
  Availability intent_ = Availability::starting;
  std::vector<std::shared_ptr<Target>> open_;      // take new requests
  std::vector<std::shared_ptr<Target>> draining_;  // only finish what they have
  size_t turn_ = 0;                                // where the search starts: equals take turns
  bool somebody_waits_ = false;
  Breaker breaker_;       // of the agent
  RequestWindow window_;  // of the agent
};

}  // namespace gantry::agents
