// The domain: what an agent is, and how a description of one is read, checked and stored.
//
//   AgentSpec        a checked agent, every field typed and within its range
//   parse_resources  YAML or JSON → specs, and every mistake in one pass as diagnostics
//   Diagnostic       a mistake with its place, cause and fix; `render` draws it as SPEC section 9 shows
//   canonical_json   the one spelling of a spec: equal specs have equal text ("unchanged")
//
// No I/O, no clock, no threads: the environment comes in as a function, files as text. Everything is
// a value and every function is pure and thread-safe. The reader is one: a YAML file, the JSON of a
// stored revision and the flags of `gantry deploy` all pass the same checks.
//
// Example:
//
//   core::Source source{"agents.yaml", text};
//   core::Parsed parsed = core::parse_resources(source, {.environment = lookup});
//   for (const core::Diagnostic& diagnostic : parsed.diagnostics) err << core::render(diagnostic, source);
//   for (const core::AgentSpec& agent : parsed.agents) deploy(agent, core::canonical_json(agent));
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "core/diagnostic.h"
#include "core/exec_frames.h"
#include "core/health.h"
#include "core/persistence.h"
#include "json/json.h"
#include "yaml/yaml.h"

namespace gantry::core {

// ---- The agent -------------------------------------------------------------------------------

/// What an instance may use at most.
struct Resources {
  Bytes memory = mebibytes(512);
  MilliCpu cpu = {1000};
  uint32_t pids = 128;
  Bytes tmp = mebibytes(64);
  Bytes workspace = gibibytes(1);
  friend bool operator==(const Resources&, const Resources&) = default;
};

/// Who may call the proxy path of an agent.
enum class Exposure {
  keyed,        ///< callers with a bearer key
  public_path,  ///< `public: true`: anybody who reaches the port
};

/// A directory or file of the host that a program sees.
struct Volume {
  enum class Access { read_write, read_only };
  std::string host;       ///< as the file names it, relative to it; absolute once it is deployed
  std::string container;  ///< an absolute path inside
  Access access = Access::read_write;
  friend bool operator==(const Volume&, const Volume&) = default;
};

/// The label that holds the name of the stack to which an agent belongs; AgentDeployment sets it.
inline constexpr std::string_view stack_label = "gantry/stack";

/// A checked agent of kind `command`. Equal specs have equal `canonical_json`.
struct AgentSpec {
  std::string name;
  std::map<std::string, std::string> labels;
  /// The program and its arguments, never empty.
  std::vector<std::string> command;
  /// A directory as the file names it, or `sha256:…` once it is uploaded; empty for none.
  std::string workdir;
  std::map<std::string, std::string> env;
  /// For a variable whose value came out of the environment: the text with its references, such as
  /// `${SECRET_API_KEY}`. What is exported or compared for people shows this and not the value.
  std::map<std::string, std::string> env_from;
  /// Agents that must be ready before an instance of this one is started; in the order of the file.
  std::vector<std::string> depends_on;
  std::vector<Volume> volumes;
  uint16_t port = 8000;
  uint32_t replicas = 1;
  Resources resources;
  Health health;
  Persistence persistence;
  Queue queue;
  Breaker breaker;
  /// Requests in flight in one instance; more wait in the queue.
  uint32_t concurrency = 16;
  /// For one attempt of a request.
  Duration timeout = std::chrono::minutes(5);
  /// Between TERM and KILL.
  Duration grace = std::chrono::seconds(10);
  Exposure exposure = Exposure::keyed;
  /// The stack it belongs to; empty for none.
  std::string_view stack() const;
  friend bool operator==(const AgentSpec&, const AgentSpec&) = default;
};

// ---- Reading ---------------------------------------------------------------------------------

/// The bounds of one source.
inline constexpr Bytes max_source_size = mebibytes(1);
inline constexpr size_t max_resources = 1000;
/// Replicas of one agent at most: what a file may ask for and what the server allows, one number.
inline constexpr uint32_t max_replicas = 256;

/// The value of an environment variable, nullopt if it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

/// What is wrong with a value, and the fix.
struct Complaint {
  std::string message;
  std::string help;
};

/// How a source is read.
struct ParseOptions {
  /// Where `${NAME}` and `${NAME:-default}` come from; `$$` is a dollar sign. Empty: no substitution,
  /// every dollar sign is itself. Only who loads a file substitutes (the CLI), so that a server never
  /// gives away its own environment and no value is substituted twice.
  Environment environment = {};
  /// What is wrong with the directory that a `workdir` names; nullopt if nothing. Empty: nobody looks, as on a
  /// server, which does not have the directory. Never asked about a digest.
  std::function<std::optional<Complaint>(std::string_view workdir)> check_workdir = {};
};

/// A dependency on an agent that the source does not describe: whoever knows all agents must look.
struct OutsideDependency {
  std::string agent;  ///< that has it
  std::string name;   ///< of the other one
  yaml::Span span;
  std::string field;
};

/// What a source describes and what is wrong with it. Deploy nothing of it if `has_errors`.
struct Parsed {
  /// In the order of the source: the agents whose own part is free of errors; none at all if the text
  /// itself is wrong (GS01xx).
  std::vector<AgentSpec> agents;
  /// In the order of the source.
  std::vector<Diagnostic> diagnostics;
  /// The names of the stacks that the source describes, also of those without agents; each once.
  std::vector<std::string> stacks;
  std::vector<OutsideDependency> outside;
};

/// Reads and checks every resource of a source: kind Agent with `command`, and AgentDeployment of
/// apiVersion gantry/v1 or agentainer/v1. Never stops at the first mistake.
Parsed parse_resources(const Source& source, const ParseOptions& options = {});

/// Checks a spec that was put together by flags. `field` of each diagnostic is the path in the YAML;
/// the message names the flag (`--memory`).
std::vector<Diagnostic> validate_agent_spec(const AgentSpec& spec, const ParseOptions& options = {});

/// The flag of `gantry deploy` that sets a field (`spec.resources.memory` → `--memory`); empty if none.
std::string_view flag_of(std::string_view field);

/// Splits a command like a POSIX shell without any expansion: spaces, '…', "…" and backslash.
/// `invalid` for an unfinished quote.
Result<std::vector<std::string>> split_command(std::string_view text);

/// GS0313 for a dependency on an agent that is none of `known`, with the closest of them.
Diagnostic unknown_dependency(const OutsideDependency& dependency, std::span<const std::string_view> known);

/// The indices of the agents so that each comes behind those it depends on, otherwise as given. Agents that
/// depend on each other in a circle keep their order.
std::vector<size_t> start_order(std::span<const AgentSpec* const> agents);

/// One field in which two specs of an agent differ: `resources.memory`, `labels.team`, `env.API_KEY`.
struct Change {
  std::string field;
  json::Value from, to;  ///< null where the field is absent; references in the place of values that came from them
  /// The references are the same and the value is not: `from` and `to` do not show it.
  bool hidden = false;
};
/// By field. Empty for equal specs.
std::vector<Change> differences(const AgentSpec& before, const AgentSpec& after);

// ---- Writing ---------------------------------------------------------------------------------

/// The resource `{apiVersion, kind, metadata, spec}` with every field, sizes and durations spelled as
/// in YAML. It is valid input of `parse_resources` (with no environment).
json::Object resource_json(const AgentSpec& spec);
/// The `spec` member of `resource_json` alone: what the API shows.
json::Object spec_json(const AgentSpec& spec);
/// `resource_json` in RFC 8785 form: stored in revisions and compared to detect "unchanged".
std::string canonical_json(const AgentSpec& spec);
/// The inverse of `canonical_json`; also takes `resource_json` text. `data_loss` if it is not one.
Result<AgentSpec> spec_from_json(std::string_view text);
/// The resource as a file has it: `to_yaml` as JSON.
json::Object file_json(const AgentSpec& spec);
/// The resource as a YAML document that reads back to the same spec, where the environment gives the same
/// values: a variable that came from a reference is written as the reference.
std::string to_yaml(const AgentSpec& spec);

}  // namespace gantry::core
