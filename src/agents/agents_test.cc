// Agents as a whole: the real store, files and threads; programs from a script.
#include "agents/agents.h"

#include <fstream>

#include "agents/agents_for_test.h"
#include "agents/records.h"

namespace gantry::agents {
namespace {

TEST_F(AgentsTest, DeploysAnAgentThatBecomesReadyAndTakesRequests) {
  Deployed deployed = deploy_and_wait(spec());
  EXPECT_EQ(deployed.outcome, Deployed::Outcome::created);
  EXPECT_EQ(deployed.agent.revision_number, 1u);
  const AgentView now = view();
  EXPECT_EQ(now.ready, 1u);
  ASSERT_EQ(now.instances.size(), 1u);
  EXPECT_EQ(now.instances[0].status, InstanceStatus::ready);
  EXPECT_EQ(now.instances[0].isolation.user, "uid 200001");
  EXPECT_EQ(route()->availability(), Availability::ready);
  auto lease = route()->try_acquire(OnNone::give_up);
  ASSERT_TRUE(lease.has_value());
  EXPECT_TRUE(run(lease->target().dial()).has_value());
  EXPECT_EQ(view().instances[0].in_flight, 1u);
}

TEST_F(AgentsTest, GivesTheProgramItsEnvironmentFilesAndLimits) {
  core::AgentSpec wanted = spec();
  wanted.env = {{"LOG_LEVEL", "info"}, {"GANTRY_REPLICA", "mine"}};
  wanted.port = 9000;
  wanted.resources.memory = mebibytes(64);
  deploy_and_wait(wanted);
  const sandbox::Spec& got = box()->spec;
  const std::map<std::string, std::string> env(got.env.begin(), got.env.end());
  EXPECT_EQ(env.at("PORT"), "9000");
  EXPECT_EQ(env.at("LOG_LEVEL"), "info");
  EXPECT_EQ(env.at("GANTRY_REPLICA"), "mine") << "the spec wins";
  EXPECT_EQ(env.at("GANTRY_INSTANCE"), got.id.to_string());
  EXPECT_EQ(got.limits.memory, mebibytes(64));
  EXPECT_EQ(got.workspace_dir, data_ / "workspaces" / view().id.to_string() / "0");
  EXPECT_TRUE(fs::is_directory(got.workspace_dir.parent_path()));
  EXPECT_TRUE(got.app_dir.empty());
}

TEST_F(AgentsTest, StartsAnAgentWhenThoseItDependsOnAreReady) {
  driver_.set_script({.answer = std::nullopt});
  deploy(spec("db"));
  core::AgentSpec wanted = spec();
  wanted.depends_on = {"db"};
  deploy(wanted);
  ASSERT_TRUE(eventually([&] { return view("db").instances.size() == 1 && view("db").instances[0].pid > 0; }));
  EXPECT_EQ(view().reason, "waits for 'db'");
  EXPECT_EQ(view().waits_for, std::vector<std::string>{"db"});
  EXPECT_EQ(driver_.starts(), 1);
  driver_.set_script({});
  run(agents_->apply(scope_, "db", Verb::restart, {.wait = seconds(20)})).value();
  EXPECT_TRUE(becomes(AgentStatus::running));
  EXPECT_TRUE(view().waits_for.empty());
  EXPECT_GE(*view().instances[0].started_at, *view("db").instances[0].ready_at);
}

TEST_F(AgentsTest, DoesNotDisturbAnAgentWhenOneItDependsOnIsReplacedOrStops) {
  deploy(spec("db"));
  core::AgentSpec wanted = spec();
  wanted.depends_on = {"db"};
  deploy_and_wait(wanted);
  const int64_t pid = view().instances[0].pid;
  core::AgentSpec changed = spec("db");
  changed.env["A"] = "1";
  deploy(changed);
  ASSERT_TRUE(eventually([&] {
    const AgentView db = view("db");
    return db.instances.size() == 1 && db.revision_number == 2 && db.ready == 1;
  }));
  run(agents_->apply(scope_, "db", Verb::stop, {.wait = seconds(20)})).value();
  EXPECT_EQ(view().status, AgentStatus::running);
  EXPECT_EQ(view().instances[0].pid, pid);
  // A restart of this agent is a start, which waits.
  run(agents_->apply(scope_, "bot", Verb::restart, {})).value();
  ASSERT_TRUE(eventually([&] { return view().reason == "waits for 'db'"; }));
  run(agents_->remove(scope_, "db")).value();
  ASSERT_TRUE(eventually([&] { return view().reason == "waits for 'db', which does not exist"; }));
  deploy(spec("db"));
  EXPECT_TRUE(becomes(AgentStatus::running));
}

TEST_F(AgentsTest, KeepsTheOrderOfStartsOverARestartOfTheServer) {
  deploy(spec("db"));
  core::AgentSpec wanted = spec();
  wanted.depends_on = {"db"};
  deploy_and_wait(wanted);
  const int before = driver_.starts();
  restart_daemon(AtStop::stop_instances);
  EXPECT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(driver_.starts(), before + 2);
  EXPECT_GE(*view().instances[0].started_at, *view("db").instances[0].ready_at);
  // Programs that went on are found again and go on, whatever they depend on.
  const int64_t pid = view().instances[0].pid;
  restart_daemon(AtStop::keep_instances);
  EXPECT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(view().instances[0].pid, pid);
}

TEST_F(AgentsTest, RefusesDependenciesThatDoNotExistOrGoRound) {
  core::AgentSpec wanted = spec();
  wanted.depends_on = {"vector-bd"};
  deploy(spec("vector-db"));
  auto refused = try_deploy(wanted);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR0508);
  EXPECT_EQ(refused.error().hint(), "did you mean 'vector-db'?");
  wanted.depends_on = {"bot"};
  EXPECT_EQ(try_deploy(wanted).error().id(), ErrorId::GR0509);
  wanted.depends_on = {"vector-db"};
  deploy(wanted);
  core::AgentSpec other = spec("cache");
  other.depends_on = {"bot"};
  deploy(other);
  core::AgentSpec closing = spec("vector-db");
  closing.depends_on = {"cache"};
  refused = try_deploy(closing);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR0509);
  EXPECT_TRUE(refused.error().reason().contains("vector-db -> cache -> bot -> vector-db")) << refused.error().reason();
}

std::string words_of(const std::vector<PlanStep>& steps) {
  std::string words;
  for (const PlanStep& step : steps) {
    words += fmt::format("{} {}", to_string(step.action), step.name);
    for (const core::Change& change : step.changes) words += " " + change.field;
    if (step.replaces_instances) words += " (replaces)";
    for (const std::string& name : step.needed_by) words += " needed by " + name;
    words += "\n";
  }
  return words;
}

TEST_F(AgentsTest, PlansWhatADeployWouldDoAndPrunesOnlyTheSameStack) {
  const auto in_stack = [&](std::string name, std::vector<std::string> depends_on = {}) {
    core::AgentSpec made = spec(std::move(name));
    made.labels = {{std::string(core::stack_label), "shop"}};
    made.depends_on = std::move(depends_on);
    return made;
  };
  deploy(in_stack("db"));
  deploy(in_stack("old-db"));
  deploy(in_stack("old-api", {"old-db"}));
  deploy(in_stack("api", {"db"}));
  core::AgentSpec stranger = spec("stranger");
  stranger.depends_on = {"old-db"};
  deploy(stranger);
  core::AgentSpec api = in_stack("api", {"cache", "db"}), db = in_stack("db");
  api.replicas = 2;
  api.env["A"] = "1";
  const std::vector<core::AgentSpec> specs{api, db, in_stack("cache")};
  EXPECT_EQ(words_of(agents_->plan(scope_, specs, {}).value()),
            "create cache\nnone db\nchange api depends_on env.A replicas (replaces)\n");
  EXPECT_EQ(words_of(agents_->plan(scope_, specs, {.prune = {"shop"}}).value()),
            "create cache\nnone db\nchange api depends_on env.A replicas (replaces)\n"
            "remove old-api\nremove old-db needed by stranger\n");
  EXPECT_EQ(words_of(agents_->plan(scope_, {}, {.prune = {"another"}}).value()), "");
  EXPECT_EQ(agents_->plan(scope_, {in_stack("x", {"nobody"})}, {}).error().id(), ErrorId::GR0508);
  EXPECT_EQ(agents_->plan(scope_, {in_stack("db", {"api"})}, {}).error().id(), ErrorId::GR0509);
  // What is planned is what happens.
  for (const core::AgentSpec& one : {in_stack("cache"), db, api}) deploy(one);
  EXPECT_EQ(words_of(agents_->plan(scope_, specs, {}).value()), "none cache\nnone db\nnone api\n");
}

TEST_F(AgentsTest, GivesTheProgramItsVolumesAndRefusesThoseThatNobodyMayMount) {
  const fs::path models = fs::temp_directory_path() / ("models-of-" + data_.filename().string());
  fs::create_directories(models);
  core::AgentSpec wanted = spec();
  wanted.volumes = {{models.string(), "/models", core::Volume::Access::read_only}};
  deploy_and_wait(wanted);
  ASSERT_EQ(box()->spec.volumes.size(), 1u);
  EXPECT_EQ(box()->spec.volumes[0].host, fs::canonical(models));
  EXPECT_EQ(box()->spec.volumes[0].access, sandbox::Volume::Access::read_only);
  core::AgentSpec writable = wanted;
  writable.volumes[0].access = core::Volume::Access::read_write;
  EXPECT_TRUE(agents_->plan(scope_, {writable}, {}).value()[0].replaces_instances);
  wanted.volumes[0].host = (data_ / "instances").string();
  auto refused = try_deploy(wanted);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR0510);
  EXPECT_EQ(view().revision_number, 1u);
  fs::remove_all(models);
}

TEST_F(AgentsTest, TellsAnUnchangedSpecFromAChangedOne) {
  const Deployed first = deploy_and_wait(spec());
  const Deployed same = deploy(spec());
  EXPECT_EQ(same.outcome, Deployed::Outcome::unchanged);
  EXPECT_EQ(same.agent.revision, first.agent.revision);
  core::AgentSpec slower = spec();
  slower.timeout = seconds(7);
  const Deployed changed = deploy(slower);
  EXPECT_EQ(changed.outcome, Deployed::Outcome::updated);
  EXPECT_EQ(changed.agent.revision_number, 2u);
  EXPECT_NE(changed.agent.revision, first.agent.revision);
  EXPECT_EQ(route()->spec()->timeout, seconds(7));
  EXPECT_EQ(driver_.starts(), 1) << "a timeout is no reason to restart a program";
}

TEST_F(AgentsTest, RollsOutAChangedProgramBeforeTheOldOneEnds) {
  deploy_and_wait(spec());
  const InstanceId old = view().instances[0].id;
  const auto old_box = box();
  auto lease = route()->try_acquire(OnNone::give_up);
  core::AgentSpec changed = spec();
  changed.env = {{"A", "1"}};
  deploy(changed);
  ASSERT_TRUE(eventually([&] { return driver_.starts() == 2; }));
  ASSERT_TRUE(eventually([&] {
    auto other = route()->try_acquire(OnNone::give_up);
    return other.has_value() && other->target().instance() != old;
  }));
  EXPECT_FALSE(old_box->exited().has_value()) << "a request is in flight there";
  EXPECT_TRUE(lease->target().alive());
  lease.reset();
  ASSERT_TRUE(eventually([&] { return old_box->exited().has_value(); }));
  ASSERT_TRUE(eventually([&] { return view().instances.size() == 1; }));
  EXPECT_NE(view().instances[0].id, old);
  EXPECT_EQ(view().instances[0].replica, 0u);
}

TEST_F(AgentsTest, RestartsADeadProgramAndCutsItsConnections) {
  deploy_and_wait(spec());
  const InstanceId id = view().instances[0].id;
  auto lease = route()->try_acquire(OnNone::give_up);
  box()->die({.reason = sandbox::ExitReason::exited, .code = 1});
  ASSERT_TRUE(eventually([&] { return recorder_.died_calls == 1; }));
  EXPECT_FALSE(lease->target().alive());
  ASSERT_TRUE(eventually([&] { return view().restarts == 1 && view().status == AgentStatus::running; }));
  EXPECT_EQ(view().instances[0].id, id);
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(AgentsTest, ShowsACrashLoopWithItsReasonInWords) {
  driver_.set_script({.start_error = Error(ErrorId::GR0302, "execute 'pyhton3': no such file or directory")});
  deploy(spec());
  ASSERT_TRUE(becomes(AgentStatus::crash_loop));
  EXPECT_EQ(view().reason, "execute 'pyhton3': no such file or directory");
  EXPECT_EQ(view().instances[0].pid, 0);
  driver_.set_script({});
  EXPECT_EQ(apply(Verb::start).status, AgentStatus::running);
}

TEST_F(AgentsTest, SaysWhyAnInstanceIsNotReady) {
  driver_.set_script({.answer = std::nullopt});
  core::AgentSpec wanted = spec();
  wanted.health.grace = milliseconds(30);
  deploy(wanted);
  ASSERT_TRUE(eventually([&] { return view().reason == "not ready: connection refused on port 8000 for 30ms"; }))
      << view().reason;
}

TEST_F(AgentsTest, ProbesOverHttpAndRestartsAfterRetries) {
  core::AgentSpec wanted = spec();
  wanted.health = {
      .check = {.kind = core::Probe::Kind::http, .endpoint = "/health", .interval = milliseconds(5), .retries = 2},
      .grace = seconds(20)};
  deploy_and_wait(wanted);
  EXPECT_EQ(agents_->health(scope_, "bot").value().instances[0].detail, "200 from /health");
  box()->set_script({.answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n"});
  ASSERT_TRUE(eventually([&] { return driver_.starts() == 2; }));
  ASSERT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(view().restarts, 1u);
}

TEST_F(AgentsTest, GivesUpOnAnHttpProbeWithoutAnAnswer) {
  driver_.set_script({.answer = ""});
  core::AgentSpec wanted = spec();
  wanted.health = {.check = {.kind = core::Probe::Kind::http, .endpoint = "/health", .timeout = milliseconds(5)},
                   .grace = seconds(20)};
  deploy(wanted);
  ASSERT_TRUE(eventually([&] {
    const auto health = agents_->health(scope_, "bot").value();
    return !health.instances.empty() && health.instances[0].detail == "no answer within 5ms";
  }));
}

TEST_F(AgentsTest, StopsAfterDrainingAndStartsAgainInTheSamePlace) {
  deploy_and_wait(spec());
  const InstanceId id = view().instances[0].id;
  EXPECT_EQ(apply(Verb::stop).status, AgentStatus::stopped);
  EXPECT_EQ(driver_.running(), 0u);
  EXPECT_EQ(route()->availability(), Availability::stopped);
  EXPECT_FALSE(route()->try_acquire(OnNone::notify).has_value());
  EXPECT_EQ(apply(Verb::start).status, AgentStatus::running);
  EXPECT_GE(recorder_.available_calls, 1) << "who waits is told";
  EXPECT_EQ(view().instances[0].id, id);
  EXPECT_EQ(view().restarts, 0u);
}

TEST_F(AgentsTest, WaitsWithAStopUntilTheRequestsInFlightHaveEnded) {
  deploy_and_wait(spec());
  auto lease = route()->try_acquire(OnNone::give_up);
  auto early = run(agents_->apply(scope_, "bot", Verb::stop, {.wait = milliseconds(20)}));
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().id(), ErrorId::GR0505);
  EXPECT_EQ(driver_.running(), 1u);
  lease.reset();
  ASSERT_TRUE(eventually([&] { return driver_.running() == 0; }));
}

TEST_F(AgentsTest, PausesAndResumes) {
  deploy_and_wait(spec());
  EXPECT_EQ(apply(Verb::pause).status, AgentStatus::paused);
  EXPECT_TRUE(box()->frozen);
  EXPECT_FALSE(route()->try_acquire(OnNone::notify).has_value());
  EXPECT_EQ(apply(Verb::resume).status, AgentStatus::running);
  EXPECT_FALSE(box()->frozen);
  EXPECT_EQ(driver_.starts(), 1);
  EXPECT_TRUE(route()->try_acquire(OnNone::give_up).has_value());
  apply(Verb::stop);
  EXPECT_EQ(run(agents_->apply(scope_, "bot", Verb::resume, {})).error().code(), Code::conflict);
}

TEST_F(AgentsTest, RestartsByVerb) {
  deploy_and_wait(spec());
  const auto before = box();
  EXPECT_EQ(apply(Verb::restart).status, AgentStatus::running);
  EXPECT_TRUE(before->exited().has_value());
  EXPECT_EQ(driver_.starts(), 2);
  EXPECT_EQ(driver_.running(), 1u);
}

TEST_F(AgentsTest, ScalesWithoutANewRevision) {
  deploy_and_wait(spec());
  auto scaled = run(agents_->scale(scope_, "bot", 3, {.wait = seconds(20)}));
  ASSERT_TRUE(scaled.has_value()) << scaled.error().reason();
  EXPECT_EQ(scaled->ready, 3u);
  EXPECT_EQ(scaled->revision_number, 1u);
  EXPECT_EQ(run(agents_->scale(scope_, "bot", 9, {})).error().id(), ErrorId::GR0506);
  EXPECT_EQ(deploy(spec()).outcome, Deployed::Outcome::updated) << "the spec says 1";
  ASSERT_TRUE(eventually([&] { return driver_.running() == 1; }));
  EXPECT_EQ(view().revision_number, 1u);
}

TEST_F(AgentsTest, RemovesAnAgentWithItsFilesAndTellsTheListeners) {
  const AgentId old = deploy_and_wait(spec()).agent.id;
  std::ofstream(data_ / "workspaces" / old.to_string() / "file") << "x";
  const auto held = route();
  ASSERT_TRUE(run(agents_->remove(scope_, "bot")).has_value());
  EXPECT_EQ(recorder_.removed_calls, 1);
  EXPECT_EQ(held->availability(), Availability::removed);
  EXPECT_EQ(route(), nullptr);
  EXPECT_EQ(agents_->get(scope_, "bot").error().id(), ErrorId::GR0501);
  EXPECT_FALSE(fs::exists(data_ / "workspaces" / old.to_string()));
  EXPECT_EQ(driver_.running(), 0u);
  EXPECT_EQ(run(agents_->remove(scope_, "bot")).error().id(), ErrorId::GR0501);
  EXPECT_NE(deploy_and_wait(spec()).agent.id, old);
}

TEST_F(AgentsTest, FindsRunningProgramsAgainAfterARestartOfTheDaemon) {
  deploy_and_wait(spec());
  run(agents_->scale(scope_, "bot", 2, {.wait = seconds(20)})).value();
  const AgentView before = view();
  restart_daemon(AtStop::keep_instances);
  ASSERT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(driver_.starts(), 2) << "nothing was started again";
  EXPECT_EQ(view().replicas, 2u);
  EXPECT_EQ(view().revision, before.revision);
  EXPECT_EQ(view().instances[0].id, before.instances[0].id);
  EXPECT_EQ(view().instances[0].pid, before.instances[0].pid);
  EXPECT_TRUE(route()->try_acquire(OnNone::give_up).has_value());
}

TEST_F(AgentsTest, StartsAgainWhatDiedWhileTheDaemonWasAway) {
  deploy_and_wait(spec());
  const auto old_box = box();
  agents_->stop(AtStop::keep_instances);
  agents_.reset();
  old_box->die({.reason = sandbox::ExitReason::lost});
  open();
  ASSERT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(AgentsTest, EndsProgramsAtACleanStopAndRunsThemAgain) {
  deploy_and_wait(spec());
  deploy(spec("other"));
  run(agents_->apply(scope_, "other", Verb::stop, {.wait = seconds(20)})).value();
  agents_->stop(AtStop::stop_instances);
  EXPECT_EQ(driver_.running(), 0u);
  agents_.reset();
  open();
  ASSERT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(view("other").status, AgentStatus::stopped) << "a stopped agent stays stopped";
}

TEST_F(AgentsTest, GoesOnWithARemovalThatARestartInterrupted) {
  deploy_and_wait(spec());
  agents_->stop(AtStop::keep_instances);
  ASSERT_TRUE(
      database_
          ->write_blocking(
              scope_, [&](store::Session& session) { return set_intent(session, "bot", Intent::remove, clock_.now()); })
          .has_value());
  agents_.reset();
  open();
  ASSERT_TRUE(eventually([&] { return route() == nullptr; }));
  EXPECT_EQ(driver_.running(), 0u);
}

TEST_F(AgentsTest, NamesTheClosestAgentForAMistypedOne) {
  deploy(spec("support-lead"));
  const Error error = agents_->get(scope_, "suport-lead").error();
  EXPECT_EQ(error.id(), ErrorId::GR0501);
  EXPECT_EQ(error.hint(), "did you mean 'support-lead'?");
  EXPECT_EQ(agents_->find(Scope{"acme", "sales", "prod"}, "support-lead"), nullptr);
  EXPECT_EQ(run(agents_->apply(scope_, "nobody", Verb::stop, {})).error().id(), ErrorId::GR0501);
}

TEST_F(AgentsTest, RefusesAWorkdirThatWasNotUploaded) {
  core::AgentSpec wanted = spec();
  wanted.workdir = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(try_deploy(wanted).error().id(), ErrorId::GR0502);
  wanted.workdir = "./bot";
  EXPECT_EQ(try_deploy(wanted).error().id(), ErrorId::GR0502);
  EXPECT_EQ(route(), nullptr);
  auto upload = run(agents_->workdirs().begin()).value();
  ASSERT_TRUE(run(upload->write(std::string(1024, '\0'))).has_value());
  wanted.workdir = run(upload->finish()).value().digest;
  deploy_and_wait(wanted);
  EXPECT_EQ(box()->spec.app_dir, agents_->workdirs().path_of(wanted.workdir));
}

TEST_F(AgentsTest, ListsByNameInPages) {
  for (const char* name : {"c", "a", "d", "b"}) deploy(spec(name));
  run(agents_->apply(scope_, "c", Verb::stop, {.wait = seconds(20)})).value();
  const AgentPage first = agents_->list(scope_, {.limit = 3});
  ASSERT_EQ(first.agents.size(), 3u);
  EXPECT_EQ(first.agents[2].name, "c");
  EXPECT_EQ(first.next, "c");
  const AgentPage second = agents_->list(scope_, {.limit = 3, .after = first.next});
  ASSERT_EQ(second.agents.size(), 1u);
  EXPECT_EQ(second.agents[0].name, "d");
  EXPECT_EQ(second.next, "");
  const AgentPage stopped = agents_->list(scope_, {.status = AgentStatus::stopped});
  ASSERT_EQ(stopped.agents.size(), 1u);
  EXPECT_EQ(stopped.agents[0].name, "c");
  EXPECT_EQ(agents_->totals().agents, 4u);
  EXPECT_EQ(agents_->totals().stopped, 1u);
}

TEST_F(AgentsTest, MeasuresTheProcessorBetweenTwoReadings) {
  deploy_and_wait(spec());
  const auto percent = [&] { return run(agents_->stats(scope_, {"bot"})).value().instances.at(0).cpu_percent; };
  box()->cpu_time = seconds(1);
  auto first = run(agents_->stats(scope_, {"bot"}));
  ASSERT_TRUE(first.has_value());
  ASSERT_EQ(first->instances.size(), 1u);
  const StatsView row = first->instances.at(0);
  EXPECT_EQ(row.cpu_ms, 1000u);
  EXPECT_EQ(row.memory, mebibytes(10));
  EXPECT_EQ(row.memory_limit, mebibytes(512));
  EXPECT_EQ(row.pids_limit, 128u);
  EXPECT_EQ(row.workspace_limit, gibibytes(1));
  ASSERT_TRUE(eventually([&] { return percent() == 0.0; }));
  box()->cpu_time += seconds(1);
  ASSERT_TRUE(eventually([&] { return percent() > 0.0; }));
  EXPECT_EQ(run(agents_->stats(scope_, {"bot", "nobody"})).error().id(), ErrorId::GR0501);
}

TEST_F(AgentsTest, AddsUpWhatTheInstancesOfAnAgentUse) {
  core::AgentSpec wanted = spec();
  wanted.replicas = 3;
  deploy_and_wait(wanted);
  deploy(spec("other"));
  {
    auto lease = route()->try_acquire(OnNone::give_up);
    ASSERT_TRUE(lease.has_value());
    lease->report(Went::well);
    auto cancelled = route()->try_acquire(OnNone::give_up);
    ASSERT_TRUE(cancelled.has_value());
  }
  const StatsReport report = run(agents_->stats(scope_, {})).value();
  ASSERT_EQ(report.agents.size(), 2u);
  const AgentStatsView& bot = report.agents[0];
  EXPECT_EQ(bot.agent, "bot");
  EXPECT_EQ(bot.memory, mebibytes(30));
  EXPECT_EQ(bot.memory_limit, mebibytes(3 * 512));
  EXPECT_EQ(bot.pids, 9u);
  EXPECT_EQ(bot.requests_total, 2u);
  EXPECT_EQ(bot.recent.count, 1u) << "what was cancelled has no duration";
  EXPECT_EQ(run(agents_->stats(scope_, {"other"})).value().agents.at(0).agent, "other");
}

Task<void> deploy_counting(Agents& agents, core::AgentSpec spec, std::array<std::atomic<int>, 3>& outcomes) {
  auto deployed = co_await agents.deploy(Scope::standard(), std::move(spec));
  if (deployed.has_value()) ++outcomes[static_cast<size_t>(deployed->outcome)];
}

TEST_F(AgentsTest, CreatesAnAgentOnceWhenManyDeployItAtTheSameTime) {
  std::array<std::atomic<int>, 3> outcomes{};
  TaskGroup group;
  for (size_t i = 0; i < 50; ++i) group.spawn(threads_.executor(i % 2), deploy_counting(*agents_, spec(), outcomes));
  group.join();
  EXPECT_EQ(outcomes[0], 1);
  EXPECT_EQ(outcomes[2], 49);
  ASSERT_TRUE(becomes(AgentStatus::running));
  EXPECT_EQ(driver_.starts(), 1);
}

TEST_F(AgentsTest, RunsTheLastOfManyConcurrentRevisions) {
  std::array<std::atomic<int>, 3> outcomes{};
  TaskGroup group;
  for (size_t i = 0; i < 20; ++i) {
    core::AgentSpec one = spec();
    one.env = {{"N", std::to_string(i)}};
    group.spawn(threads_.executor(i % 2), deploy_counting(*agents_, one, outcomes));
  }
  group.join();
  EXPECT_EQ(outcomes[0], 1);
  EXPECT_EQ(outcomes[1], 19);
  ASSERT_TRUE(eventually([&] { return driver_.running() == 1 && view().status == AgentStatus::running; }));
  EXPECT_EQ(view().revision_number, 20u);
  const std::map<std::string, std::string> env(box()->spec.env.begin(), box()->spec.env.end());
  EXPECT_EQ(env.at("N"), view().spec->env.at("N"));
}

TEST(Views, HaveTheJsonOfTheApi) {
  ManualClock clock;
  SeededRandom random(1);
  core::AgentSpec spec;
  spec.name = "bot";
  spec.command = {"app"};
  AgentView agent{.id = AgentId::make(clock, random),
                  .name = "bot",
                  .scope = Scope::standard(),
                  .created_at = clock.now(),
                  .updated_at = clock.now(),
                  .spec = std::make_shared<const core::AgentSpec>(spec)};
  agent.instances.push_back(
      {.id = InstanceId::make(clock, random), .status = InstanceStatus::backoff, .reason = "exit 1"});
  const json::Object full = to_json(agent, {.pending = 2, .processing = 1}, Detail::full).as_object();
  for (const char* name : {"id",         "name",     "scope",    "labels",          "kind", "status",   "reason",
                           "replicas",   "ready",    "revision", "revision_number", "port", "public",   "created_at",
                           "updated_at", "restarts", "pending",  "processing",      "spec", "instances"})
    EXPECT_TRUE(full.contains(name)) << name;
  const json::Object& instance = full.at("instances").at(0).as_object();
  for (const char* name : {"id", "replica", "status", "reason", "pid", "started_at", "ready_at", "restarts",
                           "in_flight", "isolation", "limits"})
    EXPECT_TRUE(instance.contains(name)) << name;
  EXPECT_TRUE(instance.at("pid").is_null());
  EXPECT_EQ(instance.at("status").as_string(), "backoff");
  EXPECT_TRUE(full.at("reason").is_null());
  EXPECT_EQ(full.at("pending").to_number<int>(), 2);
  const json::Object brief = to_json(agent, {}, Detail::brief).as_object();
  EXPECT_FALSE(brief.contains("spec"));
  EXPECT_FALSE(brief.at("instances").at(0).as_object().contains("isolation"));
}

}  // namespace
}  // namespace gantry::agents
