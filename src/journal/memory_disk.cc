#include "journal/memory_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gantry::journal {
namespace {

std::string parent_of(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == name.npos ? std::string() : name.substr(0, slash);
}

std::string base_of(const std::string& name) { return name.substr(name.rfind('/') + 1); }

}  // namespace

/// An open file. Dead once its disk lost power.
class MemoryFile final : public File {
 public:
  MemoryFile(MemoryDisk& disk, MemoryDisk::NodePtr node, uint64_t generation)
      : disk_(disk), node_(std::move(node)), generation_(generation) {}

  Result<size_t> read(uint64_t offset, std::span<char> out) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return std::unexpected(errno_error(EIO, "read"));
    if (offset >= node_->now.size()) return size_t{0};
    const size_t count = std::min<size_t>(out.size(), node_->now.size() - offset);
    std::memcpy(out.data(), node_->now.data() + offset, count);
    return count;
  }

  Result<void> write(uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return disk_.fail_now();
    const FaultKind fault = disk_.step();
    if (!disk_.has_room(*node_, offset + bytes.size())) return std::unexpected(errno_error(ENOSPC, "write"));
    if (fault == FaultKind::none) disk_.write(*node_, offset, bytes);
    if (fault == FaultKind::tear || fault == FaultKind::cut) disk_.write_torn(*node_, offset, bytes);
    return fault == FaultKind::none ? Result<void>() : disk_.fail_now();
  }

  Result<void> sync() override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return disk_.fail_now();
    const FaultKind fault = disk_.step();
    disk_.flush(*node_, fault == FaultKind::none);
    return fault == FaultKind::none ? Result<void>() : disk_.fail_now();
  }

  Result<void> fill_with_zeros(uint64_t size) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return disk_.fail_now();
    const FaultKind fault = disk_.step();
    if (fault != FaultKind::none) return disk_.fail_now();
    if (!disk_.has_room(*node_, size)) return std::unexpected(errno_error(ENOSPC, "allocate"));
    if (size > node_->now.size()) disk_.write(*node_, node_->now.size(), std::string(size - node_->now.size(), '\0'));
    return {};
  }

  Result<uint64_t> size() override {
    std::lock_guard lock(disk_.mutex_);
    return node_->now.size();
  }

 private:
  bool dead() const { return disk_.cut_ || generation_ != disk_.generation_; }
  MemoryDisk& disk_;
  MemoryDisk::NodePtr node_;
  uint64_t generation_;
};

class MemoryStorage final : public Storage {
 public:
  MemoryStorage(MemoryDisk& disk, uint64_t generation) : disk_(disk), generation_(generation) {}

  Result<std::unique_ptr<File>> open(const std::string& name, OpenMode mode) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return std::unexpected(errno_error(EIO, "open"));
    auto at = disk_.now_.files.find(name);
    if (mode != OpenMode::create) {
      if (at == disk_.now_.files.end()) return fail(Code::not_found, "open '{}': no such file", name);
      return std::make_unique<MemoryFile>(disk_, at->second, generation_);
    }
    if (!disk_.now_.directories.contains(parent_of(name)) && !parent_of(name).empty())
      return fail(Code::not_found, "open '{}': no such directory", name);
    if (disk_.step() != FaultKind::none) return std::unexpected(disk_.fail_now().error());
    if (at == disk_.now_.files.end()) {
      auto node = std::make_shared<MemoryDisk::Node>();
      node->modified = disk_.clock_.now();
      disk_.change({parent_of(name), {}, name, node});
      return std::make_unique<MemoryFile>(disk_, node, generation_);
    }
    // Truncation takes effect at once and durably: the worse of what a file system may do.
    at->second->now.clear();
    at->second->durable.clear();
    at->second->dirty.clear();
    return std::make_unique<MemoryFile>(disk_, at->second, generation_);
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    std::lock_guard lock(disk_.mutex_);
    auto at = disk_.now_.files.find(from);
    if (at == disk_.now_.files.end()) return fail(Code::not_found, "rename '{}': no such file", from);
    return change({parent_of(to), from, to, at->second});
  }

  Result<void> remove(const std::string& name) override {
    std::lock_guard lock(disk_.mutex_);
    if (!dead() && !disk_.now_.files.contains(name)) return {};
    return change({parent_of(name), name, {}, nullptr});
  }

  Result<void> touch(const std::string& name) override {
    std::lock_guard lock(disk_.mutex_);
    auto at = disk_.now_.files.find(name);
    if (at == disk_.now_.files.end()) return fail(Code::not_found, "touch '{}': no such file", name);
    at->second->modified = disk_.clock_.now();
    return {};
  }

  Result<void> make_directory(const std::string& name) override {
    std::lock_guard lock(disk_.mutex_);
    for (size_t slash = name.find('/');; slash = name.find('/', slash + 1)) {
      const std::string part = name.substr(0, slash);
      if (!disk_.now_.directories.contains(part)) GANTRY_TRY_VOID(change({parent_of(part), {}, part, nullptr}));
      if (slash == name.npos) return {};
    }
  }

  Result<void> sync_directory(const std::string& name) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead() || disk_.step() != FaultKind::none) return disk_.fail_now();
    for (const auto& one : disk_.pending_)
      if (one.directory == name) MemoryDisk::apply(one, disk_.durable_);
    std::erase_if(disk_.pending_, [&](const auto& one) { return one.directory == name; });
    return {};
  }

  Result<std::vector<StoredName>> list(const std::string& directory) override {
    std::lock_guard lock(disk_.mutex_);
    if (dead()) return std::unexpected(errno_error(EIO, "list"));
    if (!directory.empty() && !disk_.now_.directories.contains(directory))
      return fail(Code::not_found, "list '{}': no such directory", directory);
    std::vector<StoredName> all;
    for (const auto& [name, node] : disk_.now_.files)
      if (parent_of(name) == directory)
        all.push_back({base_of(name), StoredName::Kind::file, node->now.size(), node->now.size(), node->modified});
    for (const auto& name : disk_.now_.directories)
      if (parent_of(name) == directory) all.push_back({base_of(name), StoredName::Kind::directory, 0, 0, {}});
    std::ranges::sort(all, {}, &StoredName::name);
    return all;
  }

 private:
  bool dead() const { return disk_.cut_ || generation_ != disk_.generation_; }

  Result<void> change(MemoryDisk::Change change) {
    if (dead()) return disk_.fail_now();
    const FaultKind fault = disk_.step();
    if (fault != FaultKind::fail) disk_.change(std::move(change));
    return fault == FaultKind::none ? Result<void>() : disk_.fail_now();
  }

  MemoryDisk& disk_;
  uint64_t generation_;
};

std::unique_ptr<Storage> MemoryDisk::storage() {
  std::lock_guard lock(mutex_);
  return std::make_unique<MemoryStorage>(*this, generation_);
}

void MemoryDisk::plan(Fault fault) {
  std::lock_guard lock(mutex_);
  fault_ = fault;
}

uint64_t MemoryDisk::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

bool MemoryDisk::is_cut() const {
  std::lock_guard lock(mutex_);
  return cut_;
}

void MemoryDisk::set_capacity(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

uint64_t MemoryDisk::used() const {
  std::lock_guard lock(mutex_);
  return sum_of_sizes();
}

uint64_t MemoryDisk::sum_of_sizes() const {
  uint64_t sum = 0;
  for (const auto& [name, node] : now_.files) sum += node->now.size();
  return sum;
}

bool MemoryDisk::has_room(const Node& node, uint64_t new_size) const {
  return new_size <= node.now.size() || sum_of_sizes() + new_size - node.now.size() <= capacity_;
}

FaultKind MemoryDisk::step() {
  const uint64_t now = operations_++;
  if (fault_.kind == FaultKind::none || now < fault_.at || now - fault_.at >= fault_.length) return FaultKind::none;
  if (fault_.kind == FaultKind::cut) cut_ = true;
  return fault_.kind;
}

Result<void> MemoryDisk::fail_now() const { return std::unexpected(errno_error(fault_.number, "injected")); }

void MemoryDisk::change(Change change) {
  apply(change, now_);
  pending_.push_back(std::move(change));
}

void MemoryDisk::apply(const Change& change, Names& names) {
  if (!change.removed.empty()) names.files.erase(change.removed);
  if (change.added.empty()) return;
  if (change.node)
    names.files[change.added] = change.node;
  else
    names.directories.insert(change.added);
}

void MemoryDisk::write(Node& node, uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (node.now.size() < offset + bytes.size()) node.now.resize(offset + bytes.size());
  std::memcpy(node.now.data() + offset, bytes.data(), bytes.size());
  for (uint64_t sector = offset / sector_size; sector <= (offset + bytes.size() - 1) / sector_size; ++sector)
    node.dirty.insert(sector);
  node.modified = clock_.now();
}

// Half of the time a prefix, which may end inside a sector; else any subset of the sectors.
void MemoryDisk::write_torn(Node& node, uint64_t offset, std::string_view bytes) {
  if (random_.below(2) == 0) return write(node, offset, bytes.substr(0, random_.below(bytes.size() + 1)));
  for (size_t at = 0; at < bytes.size();) {
    const size_t part = std::min<size_t>(bytes.size() - at, sector_size - (offset + at) % sector_size);
    if (random_.below(2) == 0) write(node, offset + at, bytes.substr(at, part));
    at += part;
  }
}

// What is not flushed is clean nevertheless: the kernel reports a failed write-back once and forgets it.
void MemoryDisk::flush(Node& node, bool all) {
  node.durable.resize(node.now.size());
  for (uint64_t sector : node.dirty) {
    if (!all && random_.below(2) == 0) continue;
    const uint64_t at = sector * sector_size;
    if (at < node.now.size()) node.now.copy(node.durable.data() + at, sector_size, at);
  }
  node.dirty.clear();
}

void MemoryDisk::lose(Node& node) {
  // The length is metadata: it may survive without the data.
  if (random_.below(2) == 0 && node.durable.size() < node.now.size()) node.durable.resize(node.now.size());
  std::string kept = node.durable;
  for (uint64_t sector : node.dirty) {
    const uint64_t at = sector * sector_size;
    if (random_.below(2) == 0 || at >= kept.size()) continue;
    node.now.copy(kept.data() + at, std::min<uint64_t>(sector_size, kept.size() - at), at);
  }
  node.now = kept;
  node.durable = std::move(kept);
  node.dirty.clear();
}

void MemoryDisk::restore_power(Loss loss) {
  std::lock_guard lock(mutex_);
  cut_ = false;
  fault_ = {};
  ++generation_;
  if (loss == Loss::some) {
    // Changes in one directory reach the disk in their order, those in different ones do not.
    std::map<std::string, bool> stopped;
    for (const Change& one : pending_) {
      bool& stop = stopped[one.directory];
      stop = stop || random_.below(4) == 0;
      if (!stop) apply(one, durable_);
    }
    now_ = durable_;
    std::erase_if(now_.files, [&](const auto& file) {
      const std::string parent = parent_of(file.first);
      return !parent.empty() && !now_.directories.contains(parent);
    });
    for (auto& [name, node] : now_.files) lose(*node);
  }
  durable_ = now_;
  pending_.clear();
}

void MemoryDisk::corrupt(const std::string& name, uint64_t offset, uint8_t mask) {
  std::lock_guard lock(mutex_);
  Node& node = *now_.files.at(name);
  node.now.at(offset) = static_cast<char>(node.now.at(offset) ^ mask);
  if (offset < node.durable.size()) node.durable[offset] = node.now[offset];
}

std::string MemoryDisk::content(const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto at = now_.files.find(name);
  return at == now_.files.end() ? std::string() : at->second->now;
}

std::vector<std::string> MemoryDisk::names(const std::string& directory) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [name, node] : now_.files)
    if (parent_of(name) == directory) all.push_back(base_of(name));
  return all;
}

void MemoryDisk::remove_file(const std::string& name) {
  std::lock_guard lock(mutex_);
  now_.files.erase(name);
  durable_.files.erase(name);
}

}  // namespace gantry::journal
