// Who gets the next free slot of an agent: a caller that waits, or a request that nobody waits for.
//
// One coroutine looks at the agents that something happened to: a request was queued, a slot or an instance became
// available, a retry is due. For each it pairs due requests with leases until one of the two runs out. A request whose
// caller waits goes to that caller's coroutine, any other to a background delivery.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "proxy/proxy.h"

namespace gantry::proxy {

/// A caller that waits for its turn.
class Waiter {
 public:
  /// The turn: a slot, and for journaled requests the claimed request.
  struct Grant {
    agents::Lease lease;
    requests::Due due;
  };
  /// Waits until granted, `wake`d or the deadline.
  Task<void> wait(SteadyTime deadline);
  void wake() { notifier_.notify(); }

 private:
  friend class Dispatcher;
  Notifier notifier_;
  Notifier::Ticket seen_ = notifier_.ticket();
  std::optional<Grant> grant_;  // guarded by Dispatcher::mutex_
};

/// Delivers a claimed request that nobody waits for; must end by itself.
class Background {
 public:
  virtual ~Background() = default;
  virtual Task<void> deliver(std::shared_ptr<agents::Route> route, agents::Lease lease, requests::Due due) = 0;
};

class Dispatcher final : public requests::QueueListener, public agents::Listener {
 public:
  Dispatcher(Parts parts, const Options& options, Background& background)
      : parts_(parts), options_(options), background_(background) {}

  void start();
  /// Ends the loop and wakes every waiter with nothing. The background deliveries are the owner's to join.
  void close();
  /// After close.
  void join() { tasks_.join(); }
  bool closed() const;

  /// Lines a caller up for its journaled request. `exhausted` GR0402 if too many wait.
  Result<std::shared_ptr<Waiter>> enlist(const std::shared_ptr<agents::Route>& route, RequestId id);
  /// Lines up a caller whose request is not journaled.
  Result<std::shared_ptr<Waiter>> enlist_passing(const std::shared_ptr<agents::Route>& route);
  /// Takes the caller off the line; its grant if the turn came first.
  std::optional<Waiter::Grant> leave(const std::shared_ptr<agents::Route>& route, const std::shared_ptr<Waiter>& waiter,
                                     std::optional<RequestId> id);

  /// Ends the wait of a caller whose request was cancelled.
  void wake(const AgentId& agent, const RequestId& id);

  // requests::QueueListener
  void queued(const requests::AgentKey& agent) override;
  // agents::Listener
  void available(const std::shared_ptr<agents::Route>& route) override;
  void ready(const std::shared_ptr<agents::Route>& route) override;
  void died(const std::shared_ptr<agents::Route>& route, InstanceId instance) override;
  void removed(const std::shared_ptr<agents::Route>& route) override;

  void set_pool(net::Pool& pool) { pool_ = &pool; }

 private:
  struct Agent {
    std::shared_ptr<agents::Route> route;
    std::unordered_map<RequestId, std::shared_ptr<Waiter>> callers;
    std::deque<std::shared_ptr<Waiter>> passing;
    bool passing_next = false;  ///< whose turn it is, so that neither line starves
  };

  Task<void> run();
  Task<void> bury(requests::AgentKey agent);
  void end_overdue(Time now);
  Task<void> end_overdue_one(requests::Overdue late);
  std::optional<Time> serve(AgentId id);
  bool serve_one(AgentId id, const std::shared_ptr<agents::Route>& route, requests::Order order);
  bool give_to_passing(AgentId id, agents::Lease& lease);
  void give_to_request(AgentId id, const std::shared_ptr<agents::Route>& route, agents::Lease lease, requests::Due due);
  void mark(std::shared_ptr<agents::Route> route);
  std::shared_ptr<agents::Route> route_of(const AgentId& id) const;

  Parts parts_;
  const Options& options_;
  Background& background_;
  net::Pool* pool_ = nullptr;
  TaskGroup tasks_;
  Notifier changed_;
  mutable std::mutex mutex_;
  std::unordered_map<AgentId, Agent> agents_;
  std::set<AgentId> marked_;
  size_t next_thread_ = 0;
  bool started_ = false;
  bool closed_ = false;
};

}  // namespace gantry::proxy
