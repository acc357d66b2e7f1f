// What the tests of webhooks/ share: a real journal, a real store, and a receiver on this machine.
#pragma once

#include <gtest/gtest.h>

#include <deque>

#include "audit/audit.h"
#include "journal/storage_testing.h"
#include "os/os.h"
#include "webhooks/webhooks.h"

namespace gantry::webhooks {
/// Notes every call and answers as it was told: 200 when it was told nothing.
class Receiver final : public net::Handler {
 public:
  struct Call {
    std::string target, id, timestamp, signature, body;
  };
  struct Script {
    int status = 200;
    std::string retry_after = {};
  };

  Task<void> handle(net::Exchange& exchange) override {
    const net::RequestHead& head = exchange.request();
    auto field = [&](std::string_view name) { return std::string(head.headers.find(name).value_or("")); };
    Call call{.target = std::string(head.target),
              .id = field("webhook-id"),
              .timestamp = field("webhook-timestamp"),
              .signature = field("webhook-signature"),
              .body = {}};
    call.body = (co_await exchange.read_all(1 << 20)).value_or("");
    Script script = take(std::move(call));
    std::vector<net::Header> headers;
    if (!script.retry_after.empty()) headers.push_back({"Retry-After", script.retry_after});
    co_await exchange.respond(script.status, headers, "thanks");
  }

  Script take(Call call) {
    std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    if (scripts_.empty()) return always_;
    Script script = scripts_.front();
    scripts_.pop_front();
    return script;
  }
  void next(Script script) {
    std::lock_guard lock(mutex_);
    scripts_.push_back(std::move(script));
  }
  void always(Script script) {
    std::lock_guard lock(mutex_);
    always_ = std::move(script);
  }
  std::vector<Call> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  std::mutex mutex_;
  std::vector<Call> calls_;
  std::deque<Script> scripts_;
  Script always_;
};

class WebhooksTest : public journal::StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    options_.hosts = *AllowedHosts::parse("127.0.0.1");
    options_.retry.backoff.initial = std::chrono::milliseconds(2);
    options_.retry.backoff.cap = std::chrono::milliseconds(4);
    ASSERT_TRUE(server_.start().has_value());
    open();
  }
  void TearDown() override {
    close();
    server_.stop(Duration::zero());
    StorageTest::TearDown();
  }

  void open() {
    const std::array steps{audit::migrations(), requests::migrations(), migrations()};
    open_storage(steps, {.projection_linger = std::chrono::milliseconds(1)});
    requests_ = std::make_unique<requests::Requests>(
        requests::Parts{*journal_, *database_, *blocking_, clock_, random_, logger_}, requests::Options{});
    webhooks_ = std::make_unique<Webhooks>(parts(), options_);
    ASSERT_TRUE(webhooks_->load().has_value());
    open_journal();
    ASSERT_TRUE(wait(requests_->start()).has_value());
    webhooks_->start();
  }
  void close() {
    webhooks_->close(Duration::zero());
    webhooks_->join();
    stop_storage();
    webhooks_.reset();
    requests_.reset();
    drop_storage();
  }
  void reopen() {
    close();
    open();
  }

  Parts parts() { return {*journal_, *database_, *requests_, threads_, *blocking_, clock_, random_, logger_}; }
  std::string url(std::string_view path = "/hook") {
    return fmt::format("http://{}{}", server_.local_endpoint().to_string(), path);
  }

  Made make(std::string name, std::vector<Event> events = {Event::completed, Event::failed}, std::string agent = {}) {
    NewWebhook wanted{.name = std::move(name), .url = url(), .events = std::move(events), .agent = std::move(agent)};
    auto made = wait(webhooks_->make(scope_, std::move(wanted)));
    EXPECT_TRUE(made.has_value()) << made.error().reason();
    return made.value_or(Made{});
  }
  RequestId accept(std::string agent = "bot", bool begun = true) {
    RequestId id = requests_->make_id();
    requests::AcceptedRecord record;
    record.agent_id = AgentId(IdBytes{1});
    record.agent = agent;
    record.method = "POST";
    record.target = "/work";
    if (begun) record.first_instance = InstanceId(IdBytes{9});
    requests::Acceptance acceptance{.id = id, .scope = scope_, .record = record, .inline_body = {}};
    EXPECT_TRUE(wait(requests_->accept(std::move(acceptance))).has_value());
    return id;
  }
  void complete(RequestId id) {
    requests::CompletedRecord record{.number = 1, .status = 200};
    ASSERT_TRUE(wait(requests_->complete(id, scope_, record, {})).has_value());
  }
  RequestId completed(std::string agent = "bot") {
    RequestId id = accept(std::move(agent));
    complete(id);
    return id;
  }
  std::vector<Delivery> deliveries(const std::string& name) {
    auto page = wait(webhooks_->deliveries(scope_, name, {.limit = 1000}));
    EXPECT_TRUE(page.has_value());
    return page ? std::move(page->deliveries) : std::vector<Delivery>{};
  }
  bool all_finished(const std::string& name, size_t count) {
    auto all = deliveries(name);
    return all.size() == count &&
           std::ranges::all_of(all, [](const Delivery& delivery) { return delivery.request.state.finished(); });
  }

  telemetry::Logger logger_;
  Receiver receiver_;
  net::Server server_{{}, {threads_, clock_, receiver_}};
  Options options_;
  std::unique_ptr<requests::Requests> requests_;
  std::unique_ptr<Webhooks> webhooks_;
};

}  // namespace gantry::webhooks
