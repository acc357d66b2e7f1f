// The real process as an Environment.
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <system_error>

#include "cli/cli.h"
#include "cli/keys.h"

namespace gantry::cli {
namespace {

Device device_of(int fd) { return ::isatty(fd) == 1 ? Device::terminal : Device::other; }

Interrupted sleep_until_signal(Duration duration) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  timespec wait{seconds.count(), (duration - seconds).count()};
  // SAFETY: a plain system call; EINTR is how a signal ends the wait.
  return ::nanosleep(&wait, nullptr) == 0 ? Interrupted::no : Interrupted::yes;
}

void measure_terminal(Environment& environment) {
  winsize size{};
  // SAFETY: TIOCGWINSZ writes one winsize.
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return;
  environment.width = size.ws_col;
  environment.height = size.ws_row;
}

}  // namespace

Environment process_environment(Clock& clock, Random& random) {
  Environment environment;
  environment.in = &std::cin;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  environment.in_device = device_of(STDIN_FILENO);
  environment.out_device = device_of(STDOUT_FILENO);
  environment.err_device = device_of(STDERR_FILENO);
  if (environment.out_device == Device::terminal) measure_terminal(environment);
  environment.clock = &clock;
  environment.random = &random;
  environment.variable = [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  environment.pause = sleep_until_signal;
  environment.open_keys = open_terminal_keys;
  std::error_code ignored;
  environment.self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  environment.working_directory = std::filesystem::current_path(ignored);
  return environment;
}

}  // namespace gantry::cli
