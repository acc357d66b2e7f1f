// Reads one agent: the `spec` of kind Agent, or one item of `spec.agents` of kind AgentDeployment.
#pragma once

#include "core/fields.h"

namespace gantry::core {

/// How the fields of an agent are called: AgentDeployment has healthCheck, retryPolicy and dependencies.
enum class Dialect { agent, deployment };

/// Where a dependency stands.
struct DependencyPlace {
  yaml::Span span;
  std::string field;
};

/// Reads the fields of an agent into `out`, except name and labels. `place` is where missing fields are
/// reported. Takes its fields from `fields` and finishes it.
class AgentReader {
 public:
  AgentReader(Reading& reading, Dialect dialect) : reading_(reading), dialect_(dialect) {}
  void read(Fields& fields, AgentSpec& out, const yaml::Span& place);
  /// Of each of `depends_on`.
  const std::vector<DependencyPlace>& dependency_places() const { return dependency_places_; }

 private:
  /// `later`: not what this version runs, which is reported.
  enum class Kind { command, later };
  Kind read_kind(Fields& fields, const yaml::Span& place);
  void read_command(Fields& fields, std::vector<std::string>& out);
  void read_workdir(Fields& fields, AgentSpec& out);
  void read_env(Fields& fields, AgentSpec& out);
  void read_env_from(Fields& fields, AgentSpec& out);
  void read_volumes(Fields& fields, AgentSpec& out);
  void read_volume(const yaml::Node& node, const std::string& path, const yaml::Span& place, AgentSpec& out);
  void check_container(const yaml::Node& node, const std::string& path, const AgentSpec& out, const std::string& text);
  void read_dependencies(Fields& fields, AgentSpec& out);
  void read_resources(Fields& fields, AgentSpec& out);
  void read_health(Fields& fields, AgentSpec& out);
  void read_role(Fields& health, ProbeRole role, Health& out);
  void read_probe(Fields& fields, Probe& out);
  void read_statuses(Fields& fields, Probe& out);
  void read_matches(Fields& fields, Probe& out);
  void check_endpoint(const Fields& fields, const Probe& probe, const yaml::Node& node);
  void check_kind(const Fields& fields, Probe& out, const yaml::Node* kind);
  void read_persistence(Fields& fields, AgentSpec& out);
  void read_methods(Fields& persistence, Persistence& out);
  void read_retry(Fields& persistence, Retry& out);
  void read_retry_on(Fields& retry, RetryOn& out);
  void read_retention(Fields& persistence, Retention& out);
  void read_queue(Fields& fields, Queue& out);
  void read_breaker(Fields& fields, Breaker& out);

  Reading& reading_;
  Dialect dialect_;
  std::vector<DependencyPlace> dependency_places_;
};

/// Reads `metadata`: the name, which is checked, and the labels.
void read_metadata(Reading& reading, Fields& resource, std::string& name, std::map<std::string, std::string>& labels);
/// Reads and checks a name; nullptr, with a report, if it is missing or not valid.
const yaml::Node* read_name(Reading& reading, Fields& fields, std::string& out);

}  // namespace gantry::core
