// gantry exec: a program beside the one that an instance runs.
#include "cli/commands/agents.h"
#include "cli/exec_call.h"
#include "cli/handlers.h"
#include "core/core.h"

namespace gantry::cli {
namespace {

Result<json::Object> start_of(const Invocation& given) {
  json::Object start;
  json::Array command;
  for (const std::string& word : given.arguments("COMMAND")) command.emplace_back(word);
  start["command"] = std::move(command);
  json::Object env;
  for (const std::string& pair : given.list("--env")) {
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos)
      return std::unexpected(Error(ErrorId::GR0801, fmt::format("--env '{}' is not NAME=VALUE", pair))
                                 .with_hint("gantry exec bot --env LOG_LEVEL=debug -- COMMAND"));
    env[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  if (!env.empty()) start["env"] = std::move(env);
  if (auto directory = given.text("--workdir")) start["directory"] = *directory;
  if (auto instance = given.text("--instance")) start["instance"] = *instance;
  if (auto replica = given.number("--replica")) start["replica"] = *replica;
  return start;
}

}  // namespace

Result<int> run_exec(Session& session) {
  const Invocation& given = session.given();
  const std::string& name = given.required("NAME");
  const Environment& environment = session.environment();
  ExecCall call;
  GANTRY_TRY(call.start, start_of(given));
  const bool is_at_terminal = environment.in_device == Device::terminal && environment.out_device == Device::terminal;
  if (given.has("--tty") && !is_at_terminal)
    return std::unexpected(Error(ErrorId::GR0801, "--tty needs a terminal as standard input and output")
                               .with_hint("leave --tty out; the program gets pipes"));
  call.keeps_output = !session.for_people();
  call.has_terminal = is_at_terminal && !call.keeps_output && !given.has("--no-tty");
  call.sends_input = !given.has("--no-stdin");

  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(net::OutgoingRequest request, api->prepare("POST", agent_path(name, "exec")));
  request.headers.add("content-type", std::string(core::exec_media_type));
  const bool call_keeps_output = call.keeps_output;
  auto end = api->exec(std::move(request), std::move(call));
  if (!end) return std::unexpected(about_agent(*api, name, std::move(end).error()));
  if (end->is_lost)
    return std::unexpected(Error(Code::unavailable, "the instance ended, and the program with it")
                               .with_hint(fmt::format("gantry inspect {}", name)));
  if (call_keeps_output)
    session.print_value(
        json::Object{{"code", end->code}, {"reason", end->reason}, {"stdout", end->output}, {"stderr", end->errors}},
        "", [](const json::Value&) { return std::string(); });
  return end->code;
}

}  // namespace gantry::cli
