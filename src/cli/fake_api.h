// A server for tests that answers as the API does, with canned bodies, and remembers what it was asked.
#pragma once

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cli/output.h"
#include "net/net.h"

namespace gantry::cli {

/// What was asked.
struct Asked {
  std::string line;  ///< `GET /v1/agents?limit=1000`
  std::map<std::string, std::string> headers;
  std::string body;
};

/// How an answer ends.
enum class Ending {
  whole,
  broken,  ///< the connection breaks behind the body, before the end that was announced
};

/// What is answered.
struct Canned {
  int status = 200;
  std::string body = "{}";
  std::vector<std::pair<std::string, std::string>> headers = {{"Content-Type", "application/json"}};
  Ending ending = Ending::whole;
};

/// Listens on a port of the kernel's choice as long as it lives.
class FakeApi final : public net::Handler {
 public:
  FakeApi() : threads_(1), server_({.listen = {"127.0.0.1", 0}}, {threads_, clock_, *this}) {
    threads_.start();
    GANTRY_CHECK(server_.start().has_value());
  }
  ~FakeApi() override {
    server_.stop(Duration::zero());
    threads_.stop();
  }

  std::string url() const { return "http://" + server_.local_endpoint().to_string(); }

  /// Answers of `METHOD PATH` (without the query), one after the other; the last one stays.
  void on(const std::string& what, Canned answer) {
    std::lock_guard lock(mutex_);
    answers_[what].push_back(std::move(answer));
  }
  std::vector<Asked> asked() {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  /// The lines of everything that was asked.
  std::vector<std::string> lines() {
    std::vector<std::string> lines;
    for (const auto& one : asked()) lines.push_back(one.line);
    return lines;
  }

  Task<void> handle(net::Exchange& exchange) override {
    const net::RequestHead& head = exchange.request();
    Asked one{fmt::format("{} {}", head.method, head.target), {}, {}};
    std::string what = fmt::format("{} {}", head.method, head.path);
    for (const auto& header : head.headers) one.headers[to_lower(header.name)] = header.value;
    auto body = co_await exchange.read_all(size_t{64} << 20);
    if (body) one.body = std::move(*body);
    Canned answer = take(std::move(one), what);
    std::vector<net::Header> headers;
    for (const auto& [name, value] : answer.headers) headers.push_back({name, value});
    if (answer.ending == Ending::broken) {
      (void)exchange.start(answer.status, headers, net::Framing::length(answer.body.size() + 1));
      (void)co_await exchange.send_body(answer.body);
      (void)co_await exchange.flush();
      exchange.abort();
      co_return;
    }
    (void)co_await exchange.respond(answer.status, headers, answer.body);
  }

 private:
  Canned take(Asked one, const std::string& what) {
    std::lock_guard lock(mutex_);
    asked_.push_back(std::move(one));
    auto found = answers_.find(what);
    if (found == answers_.end()) return problem(404, "not_found", "there is nothing at " + what);
    auto& list = found->second;
    Canned answer = list.front();
    if (list.size() > 1) list.erase(list.begin());
    return answer;
  }

 public:
  /// An error as the server spells it.
  static Canned problem(int status, std::string_view code, std::string_view message, std::string_view hint = {}) {
    json::Object body{{"type", "about:blank"}, {"title", "x"},       {"status", status},
                      {"code", code},          {"message", message}, {"retryable", false}};
    if (!hint.empty()) body["hint"] = hint;
    return {status, json::serialize(body), {{"Content-Type", "application/problem+json"}}};
  }

 private:
  SystemClock clock_;
  IoThreads threads_;
  net::Server server_;
  std::mutex mutex_;
  std::map<std::string, std::vector<Canned>> answers_;
  std::vector<Asked> asked_;
};

}  // namespace gantry::cli
