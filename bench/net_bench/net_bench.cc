// The smallest server and the smallest proxy that net/ allows: what the hot path costs without the product on top.
// bench/net_bench/run compares them with nginx.
//
//   net_bench echo 127.0.0.1:9000
//   net_bench proxy 127.0.0.1:9000 127.0.0.1:9001
#include <signal.h>

#include <cstdio>
#include <string_view>

#include "net/net.h"

namespace gantry {
namespace {

class Echo final : public net::Handler {
 public:
  Task<void> handle(net::Exchange& exchange) override {
    auto body = exchange.read_ready();
    if (body.has_value() && exchange.body_complete()) {
      co_await exchange.respond(200, {{"Content-Type", "application/octet-stream"}}, *body);
      co_return;
    }
    auto all = co_await exchange.read_all(size_t{64} << 20);
    if (all.has_value()) co_await exchange.respond(200, {}, *all);
  }
};

class Proxy final : public net::Handler {
 public:
  Proxy(IoThreads& threads, net::Endpoint upstream) : pool_(threads), upstream_(std::move(upstream)) {}

  Task<void> handle(net::Exchange& exchange) override {
    net::ClientConnection connection = pool_.take("upstream");
    if (!connection) {
      auto socket = co_await net::connect(upstream_, {});
      if (!socket.has_value()) {
        co_await net::respond_error(exchange, socket.error());
        co_return;
      }
      connection = net::ClientConnection(*std::move(socket));
    }
    auto forwarded = co_await forward(exchange, connection);
    if (forwarded.has_value())
      pool_.give("upstream", std::move(connection));
    else
      exchange.started() ? exchange.abort() : (void)co_await net::respond_error(exchange, forwarded.error());
  }

 private:
  Task<Result<void>> forward(net::Exchange& exchange, net::ClientConnection& connection) {
    const net::RequestHead& request = exchange.request();
    GANTRY_CO_TRY_VOID(connection.start_forward(request, request.target, {{"Gantry-Attempt", "1"}}));
    GANTRY_CO_TRY(std::string_view piece, exchange.read_ready());
    while (!exchange.body_complete()) {
      GANTRY_CO_TRY_VOID(co_await connection.send_body(piece));
      GANTRY_CO_TRY(piece, co_await exchange.read_some());
    }
    GANTRY_CO_TRY_VOID(co_await connection.finish(piece, exchange.request_trailers()));
    GANTRY_CO_TRY(net::ResponseHead head, co_await connection.read_head());
    GANTRY_CO_TRY_VOID(exchange.start_forward(head, {}));
    GANTRY_CO_TRY(piece, connection.read_ready());
    while (!connection.complete()) {
      GANTRY_CO_TRY_VOID(co_await exchange.send_body(piece));
      GANTRY_CO_TRY(piece, co_await connection.read_some());
    }
    co_return co_await exchange.finish(piece, connection.trailers());
  }

  net::Pool pool_;
  net::Endpoint upstream_;
};

int serve(net::Handler& handler, IoThreads& threads, const char* address) {
  SystemClock clock;
  auto endpoint = net::Endpoint::parse(address);
  if (!endpoint.has_value()) return 2;
  net::Server server({.listen = *endpoint}, {threads, clock, handler});
  if (auto started = server.start(); !started.has_value()) {
    std::fprintf(stderr, "net_bench: %s\n", started.error().reason().c_str());
    return 1;
  }
  std::printf("%s\n", server.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  int number = 0;
  sigwait(&set, &number);
  server.stop(std::chrono::seconds(2));
  threads.stop();
  return 0;
}

int run(int argc, char** argv) {
  // SAFETY: blocked before any thread starts, so that only sigwait sees them.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  IoThreads threads;
  threads.start();
  std::string_view mode = argc > 2 ? argv[1] : "";
  if (mode == "echo" && argc == 3) {
    Echo echo;
    return serve(echo, threads, argv[2]);
  }
  if (mode == "proxy" && argc == 4) {
    auto upstream = net::Endpoint::parse(argv[3]);
    if (upstream.has_value()) {
      Proxy proxy(threads, *upstream);
      return serve(proxy, threads, argv[2]);
    }
  }
  std::fprintf(stderr, "usage: net_bench echo ADDRESS | proxy ADDRESS UPSTREAM\n");
  return 2;
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) { return gantry::run(argc, argv); }
