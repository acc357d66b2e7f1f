// A process for tests: streams in memory, a manual clock, variables from a map, no terminal unless asked.
#pragma once

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/keys.h"

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
    environment.open_keys = [this] { return std::make_unique<ScriptedKeys>(*this); };
    environment.run_server = [](const UpOptions&) -> Result<int> { return 0; };
  }

  class ScriptedKeys final : public Keys {
   public:
    explicit ScriptedKeys(FakeTerminal& terminal) : terminal_(terminal) {}
    KeyPress wait(Duration patience) override {
      if (terminal_.keys.empty()) return {KeyPress::Kind::interrupted};
      const char key = terminal_.keys.front();
      terminal_.keys.erase(0, 1);
      if (key != ' ') return {KeyPress::Kind::key, key};
      terminal_.clock.advance(patience);
      return {};
    }
    Size size() const override { return {terminal_.environment.width, terminal_.environment.height}; }

   private:
    FakeTerminal& terminal_;
  };

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
  /// What a person presses; a blank stands for waiting as long as the program likes. Ctrl-C at the end.
  std::string keys;
  /// Called at each pause; `yes` ends a watch.
  std::function<Interrupted()> on_pause;
  Environment environment;
};

}  // namespace gantry::cli
