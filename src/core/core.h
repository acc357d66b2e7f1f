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
#include "core/exec_frames.h"
#include "core/health.h"
#include "core/persistence.h"
#include "json/json.h"
#include "yaml/yaml.h"

namespace gantry::core {

// ---- Diagnostics -----------------------------------------------------------------------------

/// The stable codes of diagnostics, `GS0101` and so on; `gantry explain` expands them.
enum class Rule {
#define GANTRY_DIAGNOSTIC(id, title, explanation) id,
#include "core/diagnostic_table.inc"
#undef GANTRY_DIAGNOSTIC
};

/// What the table says about a code. All texts have static lifetime.
struct RuleText {
  std::string_view code;         ///< `GS0203`
  std::string_view title;        ///< one line
  std::string_view explanation;  ///< a paragraph: what it means, why it is so, what to do
};
const RuleText& describe(Rule rule);
/// The rule with that code, in either case; nullopt if there is none.
std::optional<Rule> rule_from_code(std::string_view code);
/// Every rule, in the order of the table.
std::span<const RuleText> all_rules();

/// An error refuses the source; a warning does not.
enum class Severity { error, warning };
std::string_view to_string(Severity severity);

/// One mistake.
struct Diagnostic {
  Rule rule;
  Severity severity = Severity::error;
  /// The cause: lower case, no full stop.
  std::string message;
  /// The name of the source; empty for specs that come from flags.
  std::string file;
  /// Where; `span.line == 0` when there is no source.
  yaml::Span span;
  /// The path of the field inside its resource, such as `spec.resources.memory`; may be empty.
  std::string field;
  /// The fix; empty if there is none to name.
  std::string help;
};

/// A text with its name.
struct Source {
  std::string file;
  std::string text;
};

/// Draws a diagnostic in the form of SPEC section 9, several lines ending in a newline, no colour.
/// Tabs of the source line are kept under the line so that the carets stay aligned; a line above
/// 160 characters is cut around the place.
std::string render(const Diagnostic& diagnostic, const Source& source);
/// All of them, an empty line between two, then `2 errors in agents.yaml`.
std::string render_all(std::span<const Diagnostic> diagnostics, const Source& source);
/// The form of the API: code, severity, message, file, line, column, length, source_line, field, help.
json::Object to_json(const Diagnostic& diagnostic, const Source& source);
bool has_errors(std::span<const Diagnostic> diagnostics);

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

/// A checked agent of kind `command`. Equal specs have equal `canonical_json`.
struct AgentSpec {
  std::string name;
  std::map<std::string, std::string> labels;
  /// The program and its arguments, never empty.
  std::vector<std::string> command;
  /// A directory as the file names it, or `sha256:…` once it is uploaded; empty for none.
  std::string workdir;
  std::map<std::string, std::string> env;
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

/// What a source describes and what is wrong with it. Deploy nothing of it if `has_errors`.
struct Parsed {
  /// In the order of the source: the agents whose own part is free of errors; none at all if the text
  /// itself is wrong (GS01xx).
  std::vector<AgentSpec> agents;
  /// In the order of the source.
  std::vector<Diagnostic> diagnostics;
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
/// The resource as a YAML document that reads back to the same spec.
std::string to_yaml(const AgentSpec& spec);

}  // namespace gantry::core
