#include "cli/demo/load.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry::cli {
namespace {

/// Callers of one agent. More than its concurrency, so that some requests wait in the queue as well.
constexpr size_t threads_for_each_agent = 6;
constexpr Duration caller_patience = std::chrono::seconds(15);

}  // namespace

DemoLoad::DemoLoad(std::vector<DemoItem> items)
    : items_(std::move(items)), fates_(items_.size(), Fate::queued), sent_(items_.size(), false) {}

DemoLoad::~DemoLoad() { stop(); }

void DemoLoad::go(ServerAddress address) {
  std::lock_guard lock(mutex_);
  address_ = std::move(address);
  changed_.notify_all();
  if (!threads_.empty()) return;
  std::set<std::string> agents;
  for (const auto& item : items_) agents.insert(item.agent);
  for (const auto& agent : agents)
    for (size_t i = 0; i < threads_for_each_agent; ++i) threads_.emplace_back([this, agent] { work(agent); });
}

void DemoLoad::hold() {
  std::lock_guard lock(mutex_);
  address_.reset();
}

size_t DemoLoad::send_again(const std::map<std::string, std::set<std::string>>& accepted) {
  std::lock_guard lock(mutex_);
  size_t again = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (fates_[i] != Fate::broken) continue;
    auto targets = accepted.find(items_[i].agent);
    if (targets != accepted.end() && targets->second.contains(items_[i].name)) continue;
    fates_[i] = Fate::queued;
    ++again;
  }
  changed_.notify_all();
  return again;
}

void DemoLoad::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
  threads_.clear();
}

DemoLoad::Counts DemoLoad::counts() const {
  std::lock_guard lock(mutex_);
  auto count = [&](Fate fate) { return static_cast<size_t>(std::ranges::count(fates_, fate)); };
  return {static_cast<size_t>(std::ranges::count(sent_, true)), count(Fate::answered), count(Fate::kept),
          count(Fate::broken)};
}

void DemoLoad::work(std::string agent) {
  ServerAddress address;
  while (auto index = take(agent, address)) {
    Fate fate = send(address, items_[*index]);
    std::lock_guard lock(mutex_);
    fates_[*index] = fate;
  }
}

std::optional<size_t> DemoLoad::take(const std::string& agent, ServerAddress& address) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_) return std::nullopt;
    for (size_t i = 0; address_ && i < items_.size(); ++i) {
      if (fates_[i] != Fate::queued || items_[i].agent != agent) continue;
      fates_[i] = Fate::sending;
      sent_[i] = true;
      address = *address_;
      return i;
    }
    changed_.wait(lock);
  }
}

DemoLoad::Fate DemoLoad::send(const ServerAddress& address, const DemoItem& item) {
  ApiClient api(address);
  auto request = api.prepare("POST", fmt::format("/agent/{}{}", item.agent, item.target()));
  if (!request) return Fate::broken;
  request->headers.add("content-type", "application/json");
  request->body = "{}";
  request->timeout = caller_patience;
  auto answer = api.exchange(std::move(*request));
  if (!answer) return Fate::broken;
  if (answer->status == 200) return Fate::answered;
  return answer->status == 202 ? Fate::kept : Fate::broken;
}

}  // namespace gantry::cli
