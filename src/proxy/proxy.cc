#include "proxy/proxy.h"

#include "proxy/state.h"

namespace gantry::proxy {

std::string make_traceparent(Random& random) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::array<uint8_t, 24> bytes;
  random.fill(bytes);
  // All zero is not an id (W3C Trace Context 3.2.2.3).
  bytes[0] |= 1;
  bytes[16] |= 1;
  std::string text = "00-";
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 16) text += '-';
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text + "-02";
}

Proxy::State::State(Parts parts, Options options)
    : parts_(parts), options_(options), pool_(parts.threads, options.pool), dispatcher_(parts, options_, *this) {
  for (size_t i = 0; i < parts.threads.size(); ++i) attempts_.push_back(std::make_shared<Attempts>());
  dispatcher_.set_pool(pool_);
  parts_.requests.add_listener(dispatcher_);
  parts_.agents.add_listener(dispatcher_);
}

void Proxy::State::start() {
  dispatcher_.start();
  tasks_.spawn(parts_.threads.executor(0), keep_house());
}

void Proxy::State::close(Duration patience) {
  dispatcher_.close();
  stopping_.notify();
  closing_.spawn(parts_.threads.executor(0), interrupt_after(patience));
}

Task<void> Proxy::State::interrupt_after(Duration patience) {
  SteadyTime deadline = parts_.clock.steady() + patience;
  while (parts_.clock.steady() < deadline && !ended_) {
    // The owner of attempts cannot tell when the last one ended without a cost for each: so it is asked.
    co_await sleep_for(std::chrono::milliseconds(5));
  }
  for (size_t i = 0; i < parts_.threads.size(); ++i)
    asio::post(parts_.threads.executor(i), [attempts = attempts_[i]] { attempts->interrupt_all(); });
}

void Proxy::State::join() {
  dispatcher_.join();
  tasks_.join();
  ended_ = true;
  closing_.join();
}

std::shared_ptr<Attempts> Proxy::State::attempts_here() { return attempts_[IoThreads::current().value_or(0)]; }

namespace {

// One of the requests that are counted; `fits` tells whether there is room for it.
class Place {
 public:
  Place(std::atomic<size_t>& count, size_t most)
      : count_(count), fits_(count.fetch_add(1, std::memory_order_relaxed) < most) {}
  Place(const Place&) = delete;
  ~Place() { count_.fetch_sub(1, std::memory_order_relaxed); }
  bool fits() const { return fits_; }

 private:
  std::atomic<size_t>& count_;
  const bool fits_;
};

}  // namespace

Task<void> Proxy::State::handle(net::Exchange& exchange, Call call) {
  Place place(in_flight_, options_.max_in_flight);
  if (!place.fits()) {
    co_await net::respond_error(exchange,
                                Error(ErrorId::GR0413, fmt::format("{} requests are in flight", options_.max_in_flight))
                                    .with_hint("send it again later; the bound is the option max_in_flight"),
                                parts_.requests.make_id().to_string());
    co_return;
  }
  auto route = parts_.agents.find(call.scope, call.agent);
  if (!route) {
    auto missing = parts_.agents.get(call.scope, call.agent);
    Error error = missing ? Error(Code::not_found, "the agent was just removed") : missing.error();
    co_await net::respond_error(exchange, std::move(error), parts_.requests.make_id().to_string());
    co_return;
  }
  const net::RequestHead& head = exchange.request();
  if (!head.wants_upgrade && route->spec()->persistence.covers(head.method))
    co_await journaled(exchange, std::move(call), std::move(route));
  else
    co_await pass_through(exchange, std::move(call), std::move(route));
}

Proxy::Proxy(Parts parts, Options options) : state_(std::make_unique<State>(parts, options)) {}
Proxy::~Proxy() = default;
void Proxy::start() { state_->start(); }
void Proxy::close(Duration patience) { state_->close(patience); }
void Proxy::join() { state_->join(); }
Task<void> Proxy::handle(net::Exchange& exchange, Call call) { return state_->handle(exchange, std::move(call)); }
Task<Result<void>> Proxy::cancel(Scope scope, RequestId id, std::string principal) {
  return state_->cancel(std::move(scope), id, "cancelled by " + principal);
}

}  // namespace gantry::proxy
