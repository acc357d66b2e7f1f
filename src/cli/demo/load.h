// The callers of the demo: threads that send one durable POST for each item, through every crash.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cli/api_client.h"

namespace gantry::cli {

/// One thing to send: `POST /agent/NAME/PATH/ITEM`.
struct DemoItem {
  std::string agent;
  std::string path;  ///< `/items`
  std::string name;  ///< `counter-07`
  std::string target() const { return path + "/" + name; }
};

/// Sends items with a few threads for each agent. A caller whose connection broke cannot know whether
/// the server had accepted its request: such items wait until `send_again` says which ones it had not.
class DemoLoad {
 public:
  explicit DemoLoad(std::vector<DemoItem> items);
  ~DemoLoad();  ///< stop()
  DemoLoad(const DemoLoad&) = delete;

  /// Starts the threads, or goes on after `hold` with the address of a new server.
  void go(ServerAddress address);
  /// Nothing new is sent from now on.
  void hold();
  /// Sends every broken item again whose name is not in `accepted` (by agent). How many those are.
  size_t send_again(const std::map<std::string, std::set<std::string>>& accepted);
  /// Waits for the threads. What is being sent ends when its server does.
  void stop();

  struct Counts {
    size_t sent = 0;      ///< at least once
    size_t answered = 0;  ///< got the agent's answer
    size_t kept = 0;      ///< got 202: accepted for later
    size_t broken = 0;    ///< the connection broke, or the server refused for now
  };
  Counts counts() const;
  const std::vector<DemoItem>& items() const { return items_; }

 private:
  enum class Fate { queued, sending, answered, kept, broken };
  void work(std::string agent);
  std::optional<size_t> take(const std::string& agent, ServerAddress& address);
  static Fate send(const ServerAddress& address, const DemoItem& item);

  const std::vector<DemoItem> items_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Fate> fates_;
  std::vector<bool> sent_;
  std::optional<ServerAddress> address_;  // empty: hold
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gantry::cli
