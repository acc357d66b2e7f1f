#include <unordered_map>

#include "net/client_state.h"

namespace gantry::net {
namespace {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

/// A connection belongs to the thread that made it: elsewhere there is no shelf to look at.
size_t this_thread() {
  auto index = IoThreads::current();
  GANTRY_CHECK(index.has_value());
  return *index;
}

}  // namespace

/// The idle connections of one I/O thread: by key, and in one list from the oldest to the newest.
struct Pool::Shelf final : IdleKeeper {
  explicit Shelf(PoolOptions its_options) : options(its_options) {}
  ~Shelf() {
    while (oldest != nullptr) drop(*oldest);
  }

  std::unique_ptr<ClientState> take(std::string_view key) {
    auto found = by_key.find(key);
    if (found == by_key.end() || found->second.empty()) return nullptr;
    ClientState* state = found->second.back();
    found->second.pop_back();
    unlink(*state);
    state->wake();
    return std::unique_ptr<ClientState>(state);
  }

  void give(std::string_view key, std::unique_ptr<ClientState> state) {
    auto found = by_key.find(key);
    if (found == by_key.end()) {
      // Emptied keys keep their entry, which saves allocations; but not without bound.
      if (by_key.size() >= 4 * options.max_idle)
        std::erase_if(by_key, [](auto& entry) { return entry.second.empty(); });
      found = by_key.emplace(std::string(key), std::vector<ClientState*>()).first;
    }
    if (found->second.size() >= options.max_idle_per_key) return;
    if (count >= options.max_idle) drop(*oldest);
    state->pool_key = key;
    found->second.push_back(state.get());
    link(*state);
    state.release()->rest(*this, options.idle_timeout);
  }

  void drop(ClientState& state) override {
    auto found = by_key.find(state.pool_key);
    std::erase(found->second, &state);
    unlink(state);
    delete &state;
  }

  void close_all(std::string_view key) {
    auto found = by_key.find(key);
    if (found == by_key.end()) return;
    std::vector<ClientState*> dead = std::move(found->second);
    by_key.erase(found);
    for (ClientState* state : dead) {
      unlink(*state);
      delete state;
    }
  }

  void link(ClientState& state) {
    state.older = newest;
    state.newer = nullptr;
    (newest != nullptr ? newest->newer : oldest) = &state;
    newest = &state;
    ++count;
  }

  void unlink(ClientState& state) {
    (state.older != nullptr ? state.older->newer : oldest) = state.newer;
    (state.newer != nullptr ? state.newer->older : newest) = state.older;
    --count;
  }

  PoolOptions options;
  std::unordered_map<std::string, std::vector<ClientState*>, TextHash, std::equal_to<>> by_key;  // owns them
  ClientState* oldest = nullptr;
  ClientState* newest = nullptr;
  size_t count = 0;
};

Pool::Pool(IoThreads& threads, PoolOptions options) : threads_(threads) {
  for (size_t i = 0; i < threads.size(); ++i) shelves_.push_back(std::make_shared<Shelf>(options));
}

Pool::~Pool() = default;

ClientConnection Pool::take(std::string_view key) {
  ClientConnection connection;
  connection.state_ = shelves_[this_thread()]->take(key);
  return connection;
}

void Pool::give(std::string_view key, ClientConnection connection) {
  if (!connection || !connection.reusable()) return;
  shelves_[this_thread()]->give(key, std::move(connection.state_));
}

void Pool::close_all(std::string key) {
  for (size_t i = 0; i < shelves_.size(); ++i)
    asio::post(threads_.executor(i), [shelf = shelves_[i], key] { shelf->close_all(key); });
}

size_t Pool::idle() const { return shelves_[this_thread()]->count; }

}  // namespace gantry::net
