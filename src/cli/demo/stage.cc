#include "cli/demo/stage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/commands/agents.h"
#include "cli/deployment.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

constexpr Duration server_start_timeout = std::chrono::seconds(10);
constexpr Duration server_stop_timeout = std::chrono::seconds(5);

core::AgentSpec spec_of(const DemoProgram& program) {
  core::AgentSpec spec;
  spec.name = program.agent;
  spec.labels = {{"from", "gantry-demo"}};
  spec.command = program.command;
  spec.workdir = program.agent;
  spec.concurrency = 4;
  spec.grace = std::chrono::seconds(1);
  spec.resources.memory = mebibytes(256);
  spec.persistence.retry.max = 20;
  spec.persistence.retry.backoff.initial = std::chrono::milliseconds(200);
  spec.persistence.retry.backoff.cap = std::chrono::seconds(1);
  return spec;
}

Result<fs::path> make_temporary_directory() {
  std::error_code failure;
  fs::path parent = fs::temp_directory_path(failure);
  if (failure) return fail(Code::unavailable, "find the directory for temporary files: {}", failure.message());
  std::string path = (parent / "gantry-demo-XXXXXX").string();
  // SAFETY: mkdtemp writes the six characters in place; the string is ours.
  if (::mkdtemp(path.data()) == nullptr) return fail_errno("create a temporary directory");
  return fs::path(path);
}

}  // namespace

DemoStage::~DemoStage() { clear(); }

Result<> DemoStage::open() {
  GANTRY_TRY(directory_, make_temporary_directory());
  return start_server();
}

Result<> DemoStage::start_server() {
  ServerChild::Options options{
      .program = session_.environment().self,
      .flags = {"--data=" + (directory_ / "data").string(), "--listen=127.0.0.1:0", "--log-level=warn"},
      .log = directory_ / "server.log",
      .ready_timeout = server_start_timeout};
  GANTRY_TRY(auto child, ServerChild::start(options));
  server_.emplace(std::move(child));
  GANTRY_TRY(std::string url, json::get_string(server_->ready(), "url"));
  GANTRY_TRY(std::string key_file, json::get_string(server_->ready(), "key_file"));
  GANTRY_TRY(std::string key, os::read_file(key_file, kibibytes(4)));
  key.resize(std::min(key.find_first_of("\r\n"), key.size()));
  address_ = {std::move(url), telemetry::Secret(std::move(key))};
  api_.emplace(address_);
  return {};
}

void DemoStage::kill_server() {
  server_->signal(SIGKILL);
  (void)server_->wait(server_stop_timeout);
  server_.reset();
}

Result<> DemoStage::deploy(const DemoProgram& program) {
  fs::path workdir = directory_ / program.agent;
  GANTRY_TRY_VOID(os::make_directories(workdir, 0755));
  GANTRY_TRY_VOID(os::replace_file(workdir / program.file, program.text, 0644));
  WorkdirUploader uploader(*api_, [](const std::string&) {});
  // Remembered before the call: an agent whose answer was lost must be removed as well.
  agents_.push_back(program.agent);
  GANTRY_TRY_VOID(deploy_agent(*api_, uploader, {spec_of(program), directory_}));
  return {};
}

Result<> DemoStage::wait_until_ready(const std::vector<DemoProgram>& programs, Duration timeout) {
  std::vector<Goal> goals;
  for (const auto& program : programs) goals.push_back({program.agent, is_ready, "ready"});
  GANTRY_TRY(json::Array agents, wait_for(session_, *api_, goals, timeout));
  for (const auto& agent : agents) remember_instances(agent);
  return {};
}

Result<int64_t> DemoStage::kill_agent(const std::string& agent) {
  GANTRY_TRY(json::Value shown, api_->get(agent_path(agent)));
  remember_instances(shown);
  GANTRY_TRY(int64_t pid, json::get_int(shown, "instances.0.pid"));
  GANTRY_TRY(os::Fd pidfd, os::open_pidfd(static_cast<pid_t>(pid)));
  GANTRY_TRY_VOID(os::signal_process(pidfd, SIGKILL));
  return pid;
}

void DemoStage::remember_instances(const json::Value& agent) {
  for (const auto& instance : array_at(agent, "instances")) {
    auto pid = static_cast<pid_t>(int_at(instance, "pid"));
    if (auto identity = pid > 1 ? os::identify_process(pid) : fail(Code::not_found, "no process"); identity)
      instances_.push_back(*identity);
  }
}

void DemoStage::kill_remembered() {
  for (const auto& instance : instances_) {
    auto pidfd = os::open_pidfd(instance.pid);
    auto now = os::identify_process(instance.pid);
    // A number that was given away since then is none of ours.
    if (pidfd && now && *now == instance) (void)os::signal_process(*pidfd, SIGKILL);
  }
  instances_.clear();
}

void DemoStage::clear() {
  if (server_ && api_) {
    for (const auto& agent : agents_) (void)api_->remove(agent_path(agent));
    (void)api_->post("/v1/server/shutdown");
    (void)server_->wait(server_stop_timeout);
  }
  server_.reset();  // kills it if it still runs
  kill_remembered();
  agents_.clear();
  if (!directory_.empty()) (void)os::remove_tree(directory_);
  directory_.clear();
}

std::optional<fs::path> find_in_usual_places(std::string_view program) {
  for (std::string_view directory : {"/usr/local/bin", "/usr/bin", "/bin"}) {
    fs::path path = fs::path(directory) / program;
    // SAFETY: asks the kernel; no pointer is kept.
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

}  // namespace gantry::cli
