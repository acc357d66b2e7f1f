// fuzz: core
// No resource file crashes the reader or the renderer; what is accepted reads back from both forms.
#include <cstddef>
#include <cstdint>

#include "core/core.h"

using namespace gantry;

namespace {

std::optional<std::string> environment(std::string_view name) {
  if (name == "BOT") return "bot";
  if (name == "PORT") return "8000";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: every object may be read through char.
  core::Source source{"agents.yaml", std::string(reinterpret_cast<const char*>(data), size)};
  core::Parsed parsed = core::parse_resources(source, {.environment = environment});
  (void)core::render_all(parsed.diagnostics, source);
  for (const core::Diagnostic& diagnostic : parsed.diagnostics) {
    GANTRY_CHECK(!diagnostic.message.empty());
    // What the API sends must be JSON.
    GANTRY_CHECK(json::parse(json::serialize(core::to_json(diagnostic, source))).has_value());
  }
  for (const core::AgentSpec& agent : parsed.agents) {
    GANTRY_CHECK(is_name(agent.name) && !agent.command.empty());
    GANTRY_CHECK(core::validate_agent_spec(agent).empty());
    GANTRY_CHECK(core::spec_from_json(core::canonical_json(agent)).value() == agent);
    core::Parsed again = core::parse_resources({"again.yaml", core::to_yaml(agent)}, {.environment = environment});
    GANTRY_CHECK(again.agents.size() == 1 && again.agents[0] == agent);
  }
  return 0;
}
