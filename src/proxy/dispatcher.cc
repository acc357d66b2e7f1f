#include "proxy/dispatcher.h"

#include <algorithm>

namespace gantry::proxy {
namespace {

// Steady time does not see a wall clock that is set: so late is noticed what became due by it.
constexpr Duration longest_sleep = std::chrono::seconds(5);

// With one slot in all the order of acceptance is the order of delivery (SPEC section 4, item 4).
requests::Order order_of(const core::AgentSpec& spec) {
  return spec.concurrency == 1 && spec.replicas <= 1 ? requests::Order::strict : requests::Order::relaxed;
}

// Times of retries are those of the wall clock, which somebody may set back: the steady one tells.
class ClockWatch {
 public:
  explicit ClockWatch(Clock& clock) : clock_(clock), wall_(clock.now()), steady_(clock.steady()) {}
  /// How far it was set back since the last look; nullopt for less than a second, which is drift.
  std::optional<Duration> went_back() {
    const Duration behind = (clock_.steady() - steady_) - (clock_.now() - wall_);
    wall_ = clock_.now();
    steady_ = clock_.steady();
    return behind > std::chrono::seconds(1) ? std::optional(behind) : std::nullopt;
  }

 private:
  Clock& clock_;
  Time wall_;
  SteadyTime steady_;
};

}  // namespace

Task<void> Waiter::wait(SteadyTime deadline) { co_await notifier_.wait(seen_, deadline); }

void Dispatcher::start() {
  {
    std::lock_guard lock(mutex_);
    started_ = true;
  }
  for (const requests::AgentKey& agent : parts_.requests.waiting_agents()) queued(agent);
  tasks_.spawn(parts_.threads.executor(0), run());
}

void Dispatcher::close() {
  std::vector<std::shared_ptr<Waiter>> woken;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto& [id, agent] : agents_) {
      for (auto& [request, waiter] : agent.callers) woken.push_back(waiter);
      woken.insert(woken.end(), agent.passing.begin(), agent.passing.end());
    }
  }
  for (auto& waiter : woken) waiter->wake();
  changed_.notify();
}

bool Dispatcher::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

Result<std::shared_ptr<Waiter>> Dispatcher::enlist(const std::shared_ptr<agents::Route>& route, RequestId id) {
  std::lock_guard lock(mutex_);
  if (closed_) return fail(Code::unavailable, "the server is stopping");
  Agent& agent = agents_[route->agent()];
  agent.route = route;
  if (agent.callers.size() + agent.passing.size() >= options_.max_waiting)
    return fail(ErrorId::GR0402, "{} callers wait for agent '{}' already", options_.max_waiting, route->name());
  auto waiter = std::make_shared<Waiter>();
  agent.callers.emplace(id, waiter);
  return waiter;
}

Result<std::shared_ptr<Waiter>> Dispatcher::enlist_passing(const std::shared_ptr<agents::Route>& route) {
  std::shared_ptr<Waiter> waiter;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return fail(Code::unavailable, "the server is stopping");
    Agent& agent = agents_[route->agent()];
    agent.route = route;
    if (agent.callers.size() + agent.passing.size() >= options_.max_waiting)
      return fail(ErrorId::GR0402, "{} callers wait for agent '{}' already", options_.max_waiting, route->name());
    waiter = std::make_shared<Waiter>();
    agent.passing.push_back(waiter);
  }
  mark(route);
  return waiter;
}

void Dispatcher::wake(const AgentId& agent, const RequestId& id) {
  std::shared_ptr<Waiter> waiter;
  {
    std::lock_guard lock(mutex_);
    auto found = agents_.find(agent);
    if (found == agents_.end()) return;
    auto caller = found->second.callers.find(id);
    if (caller != found->second.callers.end()) waiter = caller->second;
  }
  if (waiter) waiter->wake();
}

std::optional<Waiter::Grant> Dispatcher::leave(const std::shared_ptr<agents::Route>& route,
                                               const std::shared_ptr<Waiter>& waiter, std::optional<RequestId> id) {
  std::lock_guard lock(mutex_);
  Agent& agent = agents_[route->agent()];
  if (id) {
    auto found = agent.callers.find(*id);
    if (found != agent.callers.end() && found->second == waiter) agent.callers.erase(found);
  } else {
    std::erase(agent.passing, waiter);
  }
  std::optional<Waiter::Grant> grant = std::move(waiter->grant_);
  waiter->grant_.reset();
  return grant;
}

void Dispatcher::queued(const requests::AgentKey& agent) {
  if (!requests::is_agent_queue(agent.name)) return;
  {
    // Recovery of the journal tells, too; until `start` nobody knows which agents there are.
    std::lock_guard lock(mutex_);
    if (!started_) return;
  }
  auto route = parts_.agents.find(agent.scope, agent.name);
  if (route && route->agent() == agent.id) return mark(std::move(route));
  // The agent went away while this request was on its way in, or while the server was down.
  tasks_.spawn(parts_.threads.executor(0), bury(agent));
}

void Dispatcher::available(const std::shared_ptr<agents::Route>& route) { mark(route); }

void Dispatcher::ready(const std::shared_ptr<agents::Route>& route) {
  // What failed with another instance need not wait for its time.
  parts_.requests.forget_backoff(route->agent());
  mark(route);
}

void Dispatcher::died(const std::shared_ptr<agents::Route>&, InstanceId instance) {
  if (pool_) pool_->close_all(instance.to_string());
}

void Dispatcher::removed(const std::shared_ptr<agents::Route>& route) {
  mark(route);
  tasks_.spawn(parts_.threads.executor(0),
               bury({.id = route->agent(), .scope = route->scope(), .name = route->name()}));
}

Task<void> Dispatcher::bury(requests::AgentKey agent) {
  auto buried = co_await parts_.requests.bury_all(agent.id, agent.scope, "the agent was removed");
  if (!buried)
    parts_.logger.error("requests of a removed agent could not be ended", telemetry::field("agent", agent.name),
                        telemetry::field("error", buried.error()));
  std::vector<std::shared_ptr<Waiter>> woken;
  {
    std::lock_guard lock(mutex_);
    auto found = agents_.find(agent.id);
    if (found == agents_.end()) co_return;
    for (auto& [id, waiter] : found->second.callers) woken.push_back(waiter);
    woken.insert(woken.end(), found->second.passing.begin(), found->second.passing.end());
  }
  for (auto& waiter : woken) waiter->wake();
}

void Dispatcher::mark(std::shared_ptr<agents::Route> route) {
  {
    std::lock_guard lock(mutex_);
    marked_.insert(route->agent());
    agents_[route->agent()].route = std::move(route);
  }
  changed_.notify();
}

std::shared_ptr<agents::Route> Dispatcher::route_of(const AgentId& id) const {
  std::lock_guard lock(mutex_);
  auto found = agents_.find(id);
  return found == agents_.end() ? nullptr : found->second.route;
}

Task<void> Dispatcher::run() {
  std::unordered_map<AgentId, Time> due;  // when an agent must be looked at again
  ClockWatch watch(parts_.clock);
  for (;;) {
    auto ticket = changed_.ticket();
    std::set<AgentId> marked;
    {
      std::lock_guard lock(mutex_);
      if (closed_) co_return;
      marked.swap(marked_);
    }
    if (auto by = watch.went_back()) {
      parts_.requests.clock_went_back(*by);
      for (auto& [id, at] : due) at -= *by;
    }
    Time now = parts_.clock.now();
    end_overdue(now);
    for (auto it = due.begin(); it != due.end();) {
      if (it->second <= now) {
        marked.insert(it->first);
        it = due.erase(it);
      } else {
        ++it;
      }
    }
    for (const AgentId& id : marked)
      if (auto next = serve(id)) due[id] = *next;
    Duration pause = longest_sleep;
    if (auto late = parts_.requests.next_deadline())
      pause = std::min(pause, std::max<Duration>(*late - now, std::chrono::milliseconds(1)));
    for (const auto& [id, at] : due)
      pause = std::min(pause, std::max<Duration>(at - now, std::chrono::milliseconds(1)));
    co_await changed_.wait(ticket, parts_.clock.steady() + pause);
  }
}

// Requests whose deadline has passed while they waited are dead letters.
void Dispatcher::end_overdue(Time now) {
  constexpr size_t at_once = 1'000;
  for (requests::Overdue& late : parts_.requests.take_overdue(now, at_once))
    tasks_.spawn(parts_.threads.executor(0), end_overdue_one(std::move(late)));
}

Task<void> Dispatcher::end_overdue_one(requests::Overdue late) {
  auto buried = co_await parts_.requests.bury(late.id, late.agent.scope,
                                              {.number = late.attempts,
                                               .outcome = requests::Outcome::timeout,
                                               .reason = "the deadline has passed before it could be delivered"});
  if (!buried) parts_.requests.unclaim(late.id, parts_.clock.now() + options_.journal_retry);
  wake(late.agent.id, late.id);
}

// Pairs until one side runs out; when the agent must be looked at again without anything happening.
std::optional<Time> Dispatcher::serve(AgentId id) {
  auto route = route_of(id);
  if (!route) return std::nullopt;
  requests::Order order = order_of(*route->spec());
  while (serve_one(id, route, order)) {
  }
  const Time now = parts_.clock.now();
  auto next = parts_.requests.next_due(id, order);
  if (next && *next > now) return next;
  // What is due and stays may wait for a circuit breaker, which nobody else will tell of.
  if (auto reopens = route->reopens_at()) return now + (*reopens - parts_.clock.steady());
  return std::nullopt;
}

bool Dispatcher::serve_one(AgentId id, const std::shared_ptr<agents::Route>& route, requests::Order order) {
  Time now = parts_.clock.now();
  auto next = parts_.requests.next_due(id, order);
  bool request_due = next && *next <= now;
  bool passing = false;
  bool passing_first = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    Agent& agent = agents_[id];
    passing = !agent.passing.empty();
    passing_first = passing && (agent.passing_next || !request_due);
    agent.passing_next = !passing_first;
  }
  if (!request_due && !passing) return false;
  if (!passing_first && tasks_.size() > options_.max_background) {
    // The next delivery that ends frees its slot, and that calls here again.
    if (!passing) return false;
    passing_first = true;
  }
  auto lease = route->try_acquire(agents::OnNone::notify);
  if (!lease) return false;
  if (passing_first && give_to_passing(id, *lease)) return true;
  auto due = parts_.requests.claim_due(id, now, order);
  if (due) give_to_request(id, route, std::move(*lease), *due);
  return due.has_value();
}

bool Dispatcher::give_to_passing(AgentId id, agents::Lease& lease) {
  std::shared_ptr<Waiter> waiter;
  {
    std::lock_guard lock(mutex_);
    Agent& agent = agents_[id];
    if (agent.passing.empty()) return false;
    waiter = std::move(agent.passing.front());
    agent.passing.pop_front();
    waiter->grant_ = Waiter::Grant{.lease = std::move(lease), .due = {}};
  }
  waiter->wake();
  return true;
}

void Dispatcher::give_to_request(AgentId id, const std::shared_ptr<agents::Route>& route, agents::Lease lease,
                                 requests::Due due) {
  std::shared_ptr<Waiter> waiter;
  Executor executor = parts_.threads.executor(next_thread_++ % parts_.threads.size());
  {
    std::lock_guard lock(mutex_);
    Agent& agent = agents_[id];
    auto found = agent.callers.find(due.id);
    if (found != agent.callers.end()) {
      waiter = std::move(found->second);
      agent.callers.erase(found);
      waiter->grant_ = Waiter::Grant{.lease = std::move(lease), .due = due};
    }
  }
  if (waiter) return waiter->wake();
  // NOLINTNEXTLINE(bugprone-use-after-move): moved only for a waiter
  tasks_.spawn(executor, background_.deliver(route, std::move(lease), due));
}

}  // namespace gantry::proxy
