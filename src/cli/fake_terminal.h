// A process for tests: streams in memory, a manual clock, variables from a map, no terminal unless asked.
#pragma once

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli.h"

namespace gantry::cli {

/// Runs command lines and keeps what they print.
class FakeTerminal {
 public:
  FakeTerminal() {
    environment.in = &in;
    environment.out = &out_stream;
    environment.err = &err_stream;
    environment.clock = &clock;
    environment.random = &random;
    environment.signals = Signals::callers;
    environment.working_directory = "/nowhere";
    environment.self = "/usr/bin/gantry";
    environment.build = {"1.2.3", "abcdef0", "test", 2};
    environment.variable = [this](std::string_view name) -> std::optional<std::string> {
      auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
    };
    environment.pause = [this](Duration duration) {
      clock.advance(duration);
      return on_pause ? on_pause() : Interrupted::no;
    };
    environment.run_server = [](const UpOptions&) -> Result<int> { return 0; };
  }

  int run(const std::vector<std::string>& words) {
    out_stream.str("");
    err_stream.str("");
    std::vector<const char*> argv = {"gantry"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return cli::run(static_cast<int>(argv.size()), argv.data(), environment);
  }

  std::string out() const { return out_stream.str(); }
  std::string err() const { return err_stream.str(); }

  std::istringstream in;
  std::ostringstream out_stream;
  std::ostringstream err_stream;
  /// 2026-11-20T18:15:00Z, three minutes after the times of the canned answers.
  ManualClock clock{Time(std::chrono::seconds(1'795'198'500))};
  SeededRandom random{1};
  std::map<std::string, std::string, std::less<>> variables = {{"HOME", "/nowhere"}};
  /// Called at each pause; `yes` ends a watch.
  std::function<Interrupted()> on_pause;
  Environment environment;
};

}  // namespace gantry::cli
