// Agents as a whole for tests: the real store, files and threads; programs from a script.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "agents/agents.h"
#include "agents/sandbox_for_test.h"

namespace gantry::agents {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Recorder final : public Listener {
 public:
  void available(const std::shared_ptr<Route>&) override { ++available_calls; }
  void ready(const std::shared_ptr<Route>&) override {}
  void died(const std::shared_ptr<Route>&, InstanceId) override { ++died_calls; }
  void removed(const std::shared_ptr<Route>&) override { ++removed_calls; }
  std::atomic<int> available_calls = 0, died_calls = 0, removed_calls = 0;
};

class AgentsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "gantry-agents-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    data_ = pattern;
    threads_.start();
    const store::Migrations schema[] = {migrations()};
    database_ = store::open_sqlite(data_ / "store.db", schema).value();
    open();
  }
  void TearDown() override {
    if (agents_ != nullptr) agents_->stop(AtStop::stop_instances);
    agents_.reset();
    tasks_.join();
    database_.reset();
    EXPECT_TRUE(os::remove_tree(data_).has_value());
  }

  void open() {
    Options options;
    options.data = data_;
    options.restart.initial = milliseconds(2);
    options.restart.cap = milliseconds(20);
    options.startup_probe_min = milliseconds(1);
    options.startup_probe_max = milliseconds(5);
    options.max_replicas = 8;
    options.log_lines_at_once = 4;
    agents_ =
        std::make_unique<Agents>(Parts{*database_, driver_, threads_, blocking_, clock_, random_, logger_}, options);
    agents_->add_listener(recorder_);
    auto started = agents_->start();
    ASSERT_TRUE(started.has_value()) << started.error().reason();
  }
  void restart_daemon(AtStop at_stop) {
    agents_->stop(at_stop);
    agents_.reset();
    open();
  }

  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    auto future = promise.get_future();
    EXPECT_TRUE(tasks_.spawn(threads_.executor(0), keep(std::move(task), promise)));
    return future.get();
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::promise<T>& promise) {
    promise.set_value(co_await std::move(task));
  }

  static core::AgentSpec spec(std::string name = "bot") {
    core::AgentSpec spec;
    spec.name = std::move(name);
    spec.command = {"python3", "app.py"};
    spec.health.grace = seconds(20);
    return spec;
  }
  Result<Deployed> try_deploy(core::AgentSpec spec) { return run(agents_->deploy(scope_, std::move(spec))); }
  Deployed deploy(core::AgentSpec spec) {
    auto deployed = try_deploy(std::move(spec));
    EXPECT_TRUE(deployed.has_value()) << (deployed.has_value() ? "" : deployed.error().reason());
    return deployed.value();
  }
  AgentView apply(Verb verb) {
    auto view = run(agents_->apply(scope_, "bot", verb, {.wait = seconds(20)}));
    EXPECT_TRUE(view.has_value()) << (view.has_value() ? "" : view.error().reason());
    return view.value();
  }
  AgentView view(std::string_view name = "bot") { return agents_->get(scope_, name).value(); }
  std::shared_ptr<Route> route(std::string_view name = "bot") { return agents_->find(scope_, name); }
  std::shared_ptr<ScriptedSandbox> box(size_t index = 0) { return driver_.box(view().instances.at(index).id); }

  /// Waits until `condition()`; fails after half a minute.
  template <class Condition>
  ::testing::AssertionResult eventually(Condition condition) {
    const SteadyTime deadline = clock_.steady() + seconds(30);
    while (!condition()) {
      if (clock_.steady() > deadline) return ::testing::AssertionFailure() << "not within 30 s";
      std::this_thread::yield();
    }
    return ::testing::AssertionSuccess();
  }
  ::testing::AssertionResult becomes(AgentStatus status) {
    return eventually([&] { return view().status == status; });
  }
  Deployed deploy_and_wait(core::AgentSpec spec) {
    Deployed deployed = deploy(std::move(spec));
    EXPECT_TRUE(becomes(AgentStatus::running));
    return deployed;
  }

  fs::path data_;
  const Scope scope_ = Scope::standard();
  SystemClock clock_;
  SystemRandom random_;
  telemetry::Logger logger_;
  IoThreads threads_{2};
  BlockingPool blocking_{2, 1000};
  TaskGroup tasks_;
  Recorder recorder_;
  ScriptedDriver driver_{clock_};
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Agents> agents_;
};

}  // namespace gantry::agents
