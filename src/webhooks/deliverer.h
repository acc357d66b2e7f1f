// Delivers what waits in the queues of the webhooks: one coroutine looks for due deliveries, each call is a task.
// Private to webhooks/.
#pragma once

#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "webhooks/registry.h"

namespace gantry::webhooks {

/// The receiver wants no more: the webhook is disabled (Standard Webhooks, "Deliverability").
inline constexpr int gone_status = 410;

/// What came of one call.
struct Answer {
  requests::Outcome outcome = requests::Outcome::completed;
  std::string detail;  ///< why it failed
  int status = 0;      ///< 0 if none came
  net::HeaderList headers = {};
  std::string body = {};
  bool whole = true;  ///< false if the body was longer than what is kept
  std::optional<Duration> retry_after = {};
};

/// When a failed delivery goes out again: by the policy, but not before the receiver wants.
requests::Verdict judge_answer(const Answer& answer, uint32_t failures, Time now, const Options& options,
                               Random& random);

class Deliverer final : public requests::QueueListener {
 public:
  Deliverer(Parts parts, Registry& registry, const Options& options);
  ~Deliverer() override;

  void start();
  void close(Duration patience);
  void join();
  /// A webhook was made, changed or removed.
  void wake() { changed_.notify(); }
  /// Ends what waits for a webhook that is gone.
  Task<Result<void>> bury(requests::AgentKey queue);

  // requests::QueueListener
  void queued(const requests::AgentKey& queue) override;

 private:
  /// The calls of one I/O thread; touched by that thread only.
  struct Lane {
    std::set<net::ClientConnection*> calls;
    bool interrupted = false;
  };
  using Write = std::function<Task<Result<void>>()>;

  Task<void> run();
  Task<void> bury_logged(requests::AgentKey queue);
  Duration serve(const Book& book);
  bool closed() const;
  bool take_slot(const AgentId& queue);
  void give_slot(const AgentId& queue);
  Task<void> deliver(RecordPointer webhook, requests::Due due);
  Task<void> attempt(RecordPointer webhook, requests::Due due);
  Task<std::optional<requests::StoredRequest>> load(RecordPointer webhook, requests::Due due);
  Task<Answer> call(RecordPointer webhook, requests::StoredRequest stored);
  Result<net::OutgoingRequest> prepare(const WebhookRecord& webhook, const requests::AcceptedRecord& message) const;
  Task<Result<Answer>> exchange(net::OutgoingRequest request);
  Task<Result<Answer>> read_answer(net::ClientConnection& connection) const;
  Task<Result<std::shared_ptr<net::TlsClient>>> trust();
  Task<void> settle(RecordPointer webhook, requests::Due due, Answer answer);
  Task<void> record_answer(RecordPointer webhook, requests::Due due, Answer answer);
  Task<void> record_failure(RecordPointer webhook, requests::Due due, Answer answer);
  Task<void> write_until_durable(RequestId id, Write write);
  Task<bool> sleep_unless_closed(Duration pause);
  Task<void> interrupt_after(Duration patience);
  std::shared_ptr<Lane> lane_here() { return lanes_[IoThreads::current().value_or(0)]; }

  Parts parts_;
  Registry& registry_;
  const Options& options_;
  std::vector<std::shared_ptr<Lane>> lanes_;
  TaskGroup tasks_;
  TaskGroup closing_;
  Notifier changed_;
  Notifier stopping_;
  mutable std::mutex mutex_;
  std::unordered_map<AgentId, size_t> in_flight_;
  size_t in_flight_overall_ = 0;
  std::shared_ptr<net::TlsClient> trust_;  ///< loaded for the first https call
  bool started_ = false;
  bool closed_ = false;
  size_t next_thread_ = 0;
  size_t next_webhook_ = 0;  ///< whose turn it is first, so that nobody starves when all slots are taken
};

}  // namespace gantry::webhooks
