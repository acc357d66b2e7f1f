// completion, help and the hidden reference.
#include <fmt/format.h>

#include "cli/completion.h"
#include "cli/handlers.h"
#include "cli/reference.h"
#include "cli/session.h"

namespace gantry::cli {

Result<int> run_completion(Session& session) {
  const std::string& shell = session.given().required("SHELL");
  std::string script = completion_script(shell);
  if (session.given().choice("--output") == "json")
    session.print(json::pretty(json::Object{{"shell", shell}, {"script", script}}) + "\n");
  else
    session.print(script);
  return 0;
}

Result<int> run_help(Session& session) {
  const bool as_json = session.given().choice("--output") == "json";
  auto words = session.given().arguments("COMMAND");
  if (words.empty()) {
    session.print(as_json ? json::pretty(commands_json()) + "\n" : general_help(session.out_style()));
    return 0;
  }
  // The words are looked up like a command line, so that aliases and "did you mean" are the same.
  words.push_back("--help");
  GANTRY_TRY(Request request, parse_command_line(words));
  const Command& command = request.invocation->command();
  session.print(as_json ? json::pretty(command_json(command)) + "\n" : command_help(command, session.out_style()));
  return 0;
}

Result<int> run_reference(Session& session) {
  session.print(session.given().required("FORM") == "man" ? reference_man(session.environment().build.version)
                                                          : reference_markdown());
  return 0;
}

}  // namespace gantry::cli
