#include "sandbox/suite_host.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr auto patience = std::chrono::seconds(20);

fs::path make_root() {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/gantry-sandbox-XXXXXX";
  GANTRY_CHECK(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

}  // namespace

SuiteHost::SuiteHost(const DriverCase& driver_case) : root(make_root()), case_(driver_case) {
  threads_.start();
  for (const char* name : {"instances", "workspaces", "apps"}) {
    fs::create_directory(root / name);
    options.shared_dirs.push_back(root / name);
  }
  options.run_dir = root / "run";
  open();
}

SuiteHost::~SuiteHost() {
  if (driver) {
    // What a test left running is nobody's for the next daemon.
    reopen();
    wait(driver->remove_leftovers({}));
    driver->close();
  }
  threads_.stop();
  static_cast<void>(os::remove_tree(root));
}

void SuiteHost::open() {
  driver = case_.make({clock, random}, options);
  auto opened = driver->open();
  ASSERT_TRUE(opened.has_value()) << opened.error().reason();
}

void SuiteHost::reopen() {
  driver->close();
  driver.reset();
  open();
}

Spec SuiteHost::base(std::string name) {
  Spec spec;
  spec.id = InstanceId::make(clock, random);
  spec.name = std::move(name);
  spec.instance_dir = root / "instances" / spec.id.to_string();
  spec.workspace_dir = root / "workspaces" / spec.id.to_string();
  spec.limits.memory = mebibytes(128);
  spec.limits.workspace = mebibytes(64);
  spec.limits.tmp = mebibytes(16);
  spec.limits.pids = 64;
  return spec;
}

Spec SuiteHost::shell(std::string name, std::string script) {
  Spec spec = base(std::move(name));
  spec.command = {"/bin/sh", "-c", std::move(script)};
  return spec;
}

Spec SuiteHost::python(std::string name, std::string_view script) {
  Spec spec = base(std::move(name));
  spec.app_dir = root / "apps" / spec.id.to_string();
  fs::create_directory(spec.app_dir);
  ::chmod(spec.app_dir.c_str(), 0755);
  fs::path file = spec.app_dir / "main.py";
  auto out = os::open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  GANTRY_CHECK(out.has_value() && os::write_all(*out, script).has_value());
  ::chmod(file.c_str(), 0644);
  spec.command = {"/usr/bin/python3", "-u", "main.py"};
  return spec;
}

std::shared_ptr<Sandbox> SuiteHost::start(Spec spec) {
  auto started = try_start(std::move(spec));
  EXPECT_TRUE(started.has_value()) << started.error().reason();
  return started.value_or(nullptr);
}

std::string SuiteHost::output(const Spec& spec) {
  auto chunk = read_logs(spec.instance_dir, {.max_lines = 100'000});
  if (!chunk) return "unreadable: " + chunk.error().reason();
  std::string text;
  for (const LogLine& line : chunk->lines) text += line.text + "\n";
  return text;
}

std::string SuiteHost::run(Spec spec, ExitInfo* exit) {
  auto box = start(spec);
  if (!box) return {};
  ExitInfo end = wait(box->wait_exit());
  if (exit != nullptr) *exit = end;
  return output(spec);
}

bool SuiteHost::eventually(const std::function<bool()>& condition) {
  SystemClock clock;
  SteadyTime deadline = clock.steady() + patience;
  while (!condition()) {
    if (clock.steady() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool SuiteHost::wait_for_output(const Spec& spec, std::string_view text) {
  return eventually([&] { return output(spec).find(text) != std::string::npos; });
}

Result<os::Fd> SuiteHost::dial_when_ready(Sandbox& box, uint16_t port) {
  Result<os::Fd> socket = fail(Code::internal, "never tried");
  eventually([&] {
    socket = wait(box.dial(port));
    return socket.has_value() || box.exited().has_value();
  });
  return socket;
}

Result<std::string> SuiteHost::get(Sandbox& box, uint16_t port, const std::string& path) {
  GANTRY_TRY(os::Fd socket, dial_when_ready(box, port));
  GANTRY_TRY_VOID(os::write_all(socket, "GET " + path + " HTTP/1.0\r\n\r\n"));
  std::string answer;
  for (;;) {
    pollfd entry{socket.get(), POLLIN, 0};
    if (::poll(&entry, 1, std::chrono::milliseconds(patience).count()) != 1) return fail(Code::timeout, "no answer");
    char buffer[4096];
    ssize_t got = ::read(socket.get(), buffer, sizeof buffer);
    if (got < 0) return fail_errno("read an answer");
    if (got == 0) return answer;
    answer.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace gantry::sandbox
