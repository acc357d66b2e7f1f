// Keeps events in the store and wakes who follows them. Private to agents/.
#pragma once

#include <deque>
#include <mutex>

#include "agents/events.h"
#include "async/async.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

namespace gantry::agents {

struct EventLogParts {
  store::Database& database;
  IoThreads& threads;
  Clock& clock;
  const telemetry::Logger& logger;
  TaskGroup& tasks;  ///< writes in it; joined before the parts go
};

struct EventLimits {
  size_t waiting = 10'000;  ///< that are not written yet; more are dropped and counted in the log
  uint64_t kept = 100'000;  ///< of a scope; older ones go
};

/// Thread-safe.
class EventLog {
 public:
  EventLog(EventLogParts parts, EventLimits limits) : parts_(parts), limits_(limits) {}

  /// Writes it soon. Never blocks.
  void record(const Scope& scope, Event event);
  /// Writes it in a transaction of the caller, who calls `committed` after it.
  Result<> insert(store::Session& session, const Event& event, Time at) const;
  void committed() { changed_.notify(); }

  /// `invalid` for a type that does not exist.
  Task<Result<std::vector<EventView>>> read(Scope scope, EventFilter filter);
  /// The same, but waits up to `patience` while there is nothing.
  Task<Result<std::vector<EventView>>> wait(Scope scope, EventFilter filter, Duration patience);

 private:
  struct Waiting {
    Scope scope;
    Time at;
    Event event;
  };
  bool enqueue(Waiting waiting);
  Task<void> write();
  std::vector<Waiting> take_batch();

  EventLogParts parts_;
  EventLimits limits_;
  Notifier changed_;
  std::mutex mutex_;
  std::deque<Waiting> waiting_;
  bool writes_ = false;
  uint64_t dropped_ = 0;
};

}  // namespace gantry::agents
