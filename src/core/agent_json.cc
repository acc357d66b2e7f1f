#include "core/core.h"

namespace gantry::core {
namespace {

json::Object object_of(const std::map<std::string, std::string>& texts) {
  json::Object object;
  for (const auto& [key, value] : texts) object[key] = value;
  return object;
}

json::Array array_of(const std::vector<std::string>& texts) {
  json::Array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

json::Object probe_json(const Probe& probe) {
  json::Object object;
  object["kind"] = to_string(probe.kind);
  if (probe.kind == Probe::Kind::http) object["endpoint"] = probe.endpoint;
  std::vector<std::string> statuses;
  for (const StatusRange& range : probe.status) statuses.push_back(to_string(range));
  if (!statuses.empty()) object["status"] = array_of(statuses);
  if (!probe.json.empty()) object["json"] = object_of(probe.json);
  if (!probe.command.empty()) object["command"] = array_of(probe.command);
  if (probe.port != 0) object["port"] = probe.port;
  if (probe.interval != Duration{}) object["interval"] = format_duration(probe.interval);
  object["timeout"] = format_duration(probe.timeout);
  if (probe.retries != 0) object["retries"] = probe.retries;
  if (probe.successes != 1) object["successes"] = probe.successes;
  return object;
}

// What is as before these fields came is not written: revisions of earlier versions compare equal.
json::Object health_json(const Health& health) {
  json::Object object = probe_json(health.check);
  object["grace"] = format_duration(health.grace);
  if (health.on_unhealthy != OnUnhealthy::restart) object["on_unhealthy"] = to_string(health.on_unhealthy);
  if (health.startup) object["startup"] = probe_json(*health.startup);
  if (health.readiness) object["readiness"] = probe_json(*health.readiness);
  if (health.liveness) object["liveness"] = probe_json(*health.liveness);
  return object;
}

json::Object retry_json(const Retry& retry) {
  json::Object object;
  object["policy"] = to_string(retry.backoff.policy);
  object["max"] = retry.max;
  object["initial"] = format_duration(retry.backoff.initial);
  object["cap"] = format_duration(retry.backoff.cap);
  if (retry.timeout != Duration{}) object["timeout"] = format_duration(retry.timeout);
  if (retry.deadline != Duration{}) object["deadline"] = format_duration(retry.deadline);
  object["retry_on"] = array_of(words_of(retry.on));
  return object;
}

json::Value retention_json(const Retention& retention) {
  if (retention.count == 0 && retention.bytes.count == 0) return json::Value(format_duration(retention.age));
  json::Object object{{"age", format_duration(retention.age)}};
  if (retention.count != 0) object["count"] = retention.count;
  if (retention.bytes.count != 0) object["bytes"] = format_bytes(retention.bytes);
  return object;
}

json::Object persistence_json(const Persistence& persistence) {
  json::Object object;
  object["enabled"] = persistence.enabled;
  object["methods"] = array_of(persistence.methods);
  object["retry"] = retry_json(persistence.retry);
  object["require_key"] = persistence.require_key;
  object["response_limit"] = format_bytes(persistence.response_limit);
  object["retention"] = retention_json(persistence.retention);
  return object;
}

json::Array volumes_json(const std::vector<Volume>& volumes) {
  json::Array array;
  for (const Volume& volume : volumes)
    array.push_back(json::Object{{"host", volume.host},
                                 {"container", volume.container},
                                 {"read_only", volume.access == Volume::Access::read_only}});
  return array;
}

json::Object resources_json(const Resources& resources) {
  json::Object object;
  object["memory"] = format_bytes(resources.memory);
  object["cpu"] = format_cpu(resources.cpu);
  object["pids"] = resources.pids;
  object["tmp"] = format_bytes(resources.tmp);
  object["workspace"] = format_bytes(resources.workspace);
  return object;
}

// A text that a loader with substitution reads back as it is.
std::string escape_dollars(std::string_view text) {
  std::string out;
  for (char c : text) out.append(c == '$' ? 2 : 1, c);
  return out;
}

void escape_all_dollars(json::Value& value) {
  if (auto* text = value.if_string()) *text = escape_dollars({text->data(), text->size()});
  if (json::Array* array = value.if_array())
    for (json::Value& item : *array) escape_all_dollars(item);
  if (json::Object* object = value.if_object())
    for (auto& member : *object) escape_all_dollars(member.value());
}

// A scalar, or a map of scalars in a list.
std::string yaml_scalar(const json::Value& value) {
  if (const json::Object* object = value.if_object(); object && !object->empty()) {
    std::string out;
    for (const auto& member : *object)
      out += fmt::format("{}{}: {}", out.empty() ? "{ " : ", ", std::string_view(member.key()),
                         yaml_scalar(member.value()));
    return out + " }";
  }
  const auto* text = value.if_string();
  return text ? yaml::quote_if_needed({text->data(), text->size()}) : json::serialize(value);
}

// Block style, two spaces, in the order of the JSON: what a person would write.
void append_yaml(std::string& out, const json::Object& object, size_t indent) {
  for (const auto& member : object) {
    out.append(indent, ' ');
    out += yaml::quote_if_needed({member.key().data(), member.key().size()}) + ":";
    const json::Value& value = member.value();
    if (const json::Array* array = value.if_array()) {
      // Lists of a spec hold texts and small maps of scalars, so they stay on their line.
      std::string_view separator = " [";
      for (const json::Value& item : *array) {
        out.append(separator).append(yaml_scalar(item));
        separator = ", ";
      }
      out += array->empty() ? " []\n" : "]\n";
    } else if (const json::Object* inner = value.if_object(); inner && !inner->empty()) {
      out += "\n";
      append_yaml(out, *inner, indent + 2);
    } else {
      out += " " + yaml_scalar(value) + "\n";
    }
  }
}

struct FlagRow {
  std::string_view field;
  std::string_view flag;
};
// Both sides as in `gantry deploy --help`.
constexpr FlagRow flag_rows[] = {
    {"metadata.name", "--name"},
    {"metadata.labels", "--label"},
    {"spec.command", "--command"},
    {"spec.workdir", "--workdir"},
    {"spec.env", "--env"},
    {"spec.depends_on", "--depends-on"},
    {"spec.port", "--port"},
    {"spec.replicas", "--replicas"},
    {"spec.concurrency", "--concurrency"},
    {"spec.resources.memory", "--memory"},
    {"spec.resources.cpu", "--cpu"},
    {"spec.resources.pids", "--pids"},
    {"spec.resources.tmp", "--tmp"},
    {"spec.resources.workspace", "--workspace"},
    {"spec.health.endpoint", "--health"},
    {"spec.timeout", "--request-timeout"},
    {"spec.grace", "--grace"},
    {"spec.persistence.retry.max", "--retries"},
    {"spec.persistence.enabled", "--no-persistence"},
    {"spec.public", "--public"},
};

}  // namespace

std::string_view AgentSpec::stack() const {
  auto found = labels.find(std::string(stack_label));
  return found == labels.end() ? std::string_view() : found->second;
}

bool Persistence::covers(std::string_view method) const {
  return enabled && std::ranges::find(methods, method) != methods.end();
}

std::string_view flag_of(std::string_view field) {
  // `spec.env.KEY` and `metadata.labels.team` belong to the flag of their map.
  for (const FlagRow& row : flag_rows) {
    bool inside = field.starts_with(row.field) && field.size() > row.field.size() && field[row.field.size()] == '.';
    if (field == row.field || inside) return row.flag;
  }
  return {};
}

// Every field is written, defaults too: a stored revision must not change when a default does.
json::Object spec_json(const AgentSpec& spec) {
  json::Object object;
  object["command"] = array_of(spec.command);
  if (!spec.workdir.empty()) object["workdir"] = spec.workdir;
  object["env"] = object_of(spec.env);
  if (!spec.env_from.empty()) object["env_from"] = object_of(spec.env_from);
  if (!spec.depends_on.empty()) object["depends_on"] = array_of(spec.depends_on);
  if (!spec.volumes.empty()) object["volumes"] = volumes_json(spec.volumes);
  object["port"] = spec.port;
  object["replicas"] = spec.replicas;
  object["resources"] = resources_json(spec.resources);
  object["health"] = health_json(spec.health);
  object["persistence"] = persistence_json(spec.persistence);
  object["queue"] = json::Object{{"max", spec.queue.max}};
  object["breaker"] = json::Object{{"failures", spec.breaker.failures}, {"open", format_duration(spec.breaker.open)}};
  object["concurrency"] = spec.concurrency;
  object["timeout"] = format_duration(spec.timeout);
  object["grace"] = format_duration(spec.grace);
  object["public"] = spec.exposure == Exposure::public_path;
  return object;
}

json::Object resource_json(const AgentSpec& spec) {
  json::Object metadata;
  metadata["name"] = spec.name;
  if (!spec.labels.empty()) metadata["labels"] = object_of(spec.labels);
  json::Object object;
  object["apiVersion"] = "gantry/v1";
  object["kind"] = "Agent";
  object["metadata"] = std::move(metadata);
  object["spec"] = spec_json(spec);
  return object;
}

std::string canonical_json(const AgentSpec& spec) {
  auto text = json::canonical(resource_json(spec));
  // Every number of a spec has at most 32 bits, so each has an exact form.
  GANTRY_CHECK(text.has_value());
  return *std::move(text);
}

json::Object file_json(const AgentSpec& spec) {
  json::Value resource = resource_json(spec);
  escape_all_dollars(resource);
  json::Object& fields = resource.get_object()["spec"].get_object();
  fields.stable_erase("env_from");
  for (const auto& [name, reference] : spec.env_from) fields["env"].get_object()[name] = reference;
  return std::move(resource.get_object());
}

std::string to_yaml(const AgentSpec& spec) {
  std::string out;
  append_yaml(out, file_json(spec), 0);
  return out;
}

}  // namespace gantry::core
