#include "sandbox/drivers/bubblewrap/usage_watch.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "sandbox/drivers/bubblewrap/workspace.h"

namespace gantry::sandbox::bubblewrap {

UsageWatch::UsageWatch(Clock& clock, UsageWatchOptions options)
    : clock_(clock), options_(options), thread_([this] { run(); }) {}

UsageWatch::~UsageWatch() { stop(); }

void UsageWatch::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void UsageWatch::add(InstanceId id, os::Fd root, Bytes limit, Processes processes, Exceeded exceeded) {
  struct stat status{};
  Tree tree;
  if (::fstat(root.get(), &status) == 0) tree.device = status.st_dev;
  tree.root = std::make_shared<os::Fd>(std::move(root));
  tree.limit = limit;
  tree.processes = std::move(processes);
  tree.exceeded = std::move(exceeded);
  tree.interval = options_.interval;
  tree.due = clock_.steady();
  {
    std::lock_guard lock(mutex_);
    trees_.insert_or_assign(id, std::move(tree));
  }
  wake_.notify_all();
}

void UsageWatch::remove(InstanceId id) {
  std::lock_guard lock(mutex_);
  trees_.erase(id);
}

Bytes UsageWatch::last(InstanceId id) const {
  std::lock_guard lock(mutex_);
  auto found = trees_.find(id);
  return found == trees_.end() ? Bytes{} : found->second.bytes;
}

// Compares with the free space at the last alarm, so that slow growth adds up to one, too.
bool UsageWatch::disk_fills(std::map<uint64_t, uint64_t>& free_at_alarm) {
  bool alarm = false;
  std::map<uint64_t, uint64_t> seen;
  for (const auto& [id, tree] : trees_) {
    struct statvfs status{};
    if (seen.contains(tree.device) || ::fstatvfs(tree.root->get(), &status) != 0) continue;
    uint64_t free = static_cast<uint64_t>(status.f_bfree) * status.f_frsize;
    seen[tree.device] = free;
    uint64_t& before = free_at_alarm.try_emplace(tree.device, free).first->second;
    if (free + options_.alarm.count <= before) alarm = true;
    if (free + options_.alarm.count <= before || free > before) before = free;
  }
  return alarm;
}

std::optional<InstanceId> UsageWatch::next_due(SteadyTime now) const {
  for (const auto& [id, tree] : trees_)
    if (tree.due <= now) return id;
  return std::nullopt;
}

void UsageWatch::measure(InstanceId id, std::unique_lock<std::mutex>& lock) {
  std::shared_ptr<os::Fd> root = trees_.at(id).root;
  Bytes limit = trees_.at(id).limit;
  Processes processes = trees_.at(id).processes;
  lock.unlock();
  SteadyTime begin = clock_.steady();
  auto size = measure_tree(*root, limit);
  if (size && processes) size->bytes.count += measure_nameless(*root, processes()).count;
  Duration took = clock_.steady() - begin;
  lock.lock();
  auto found = trees_.find(id);
  if (found == trees_.end() || found->second.root != root) return;
  Tree& tree = found->second;
  bool changed = size && (size->bytes != tree.bytes || size->entries != tree.entries);
  if (size) {
    tree.bytes = size->bytes;
    tree.entries = size->entries;
  }
  tree.interval = changed ? options_.interval : std::min(tree.interval * 2, options_.longest_interval);
  tree.due = begin + std::max<Duration>(tree.interval, took * options_.busy_divisor);
  bool exceeded = size && limit.count > 0 && (size->bytes > limit || size->too_deep);
  if (!exceeded || !tree.exceeded) return;
  Exceeded tell = std::exchange(tree.exceeded, nullptr);
  lock.unlock();
  tell();
  lock.lock();
}

void UsageWatch::run() {
  std::map<uint64_t, uint64_t> free_at_alarm;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (trees_.empty()) {
      wake_.wait(lock);
      continue;
    }
    SteadyTime now = clock_.steady();
    if (disk_fills(free_at_alarm))
      for (auto& [id, tree] : trees_) tree.due = now;
    while (auto id = stopping_ ? std::nullopt : next_due(now)) measure(*id, lock);
    if (!stopping_) wake_.wait_for(lock, options_.tick);
  }
}

}  // namespace gantry::sandbox::bubblewrap
