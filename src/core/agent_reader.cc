#include "core/agent_reader.h"

#include <algorithm>

#include "crypto/crypto.h"

namespace gantry::core {
namespace {

using namespace std::chrono_literals;

// The ranges of SPEC section 3. Lower ends are what can work at all, upper ends catch typing errors.
// Port 0 would let the kernel pick, but the program is told its port.
constexpr Range<uint32_t> port_range{1, 65535};
// No replica at all is a way to stop: requests are accepted and wait.
constexpr Range<uint32_t> replica_range{0, max_replicas};
constexpr Range<uint32_t> concurrency_range{1, 100'000};
// The shim, the program and a few threads of its runtime.
constexpr Range<uint32_t> pid_range{8, 4'194'304};
constexpr Range<Bytes> memory_range{mebibytes(4), gibibytes(16 * 1024)};
constexpr Range<Bytes> disk_range{kibibytes(64), gibibytes(16 * 1024)};
// cpu.cfs_quota_us takes no less than 1 ms in 100 ms.
constexpr Range<MilliCpu> cpu_range{{10}, {1'024'000}};
constexpr Range<Duration> timeout_range{10ms, 24h * 7};
constexpr Range<Duration> grace_range{0s, 1h};
constexpr size_t max_arguments = 1024;
constexpr size_t max_variables = 1024;
constexpr size_t max_labels = 64;

// What an agent can be; this version runs the first.
constexpr std::string_view kinds[] = {"command", "image", "model", "flow"};
// Fields of the language that ask for something this version cannot do.
constexpr std::string_view later_fields[] = {"instructions", "input",  "output",   "tools",   "permissions",
                                             "limits",       "memory", "net",      "secrets", "triggers",
                                             "budget",       "rootfs", "webhooks", "schedule"};

// `also` is what may stand between letters and digits.
bool is_label_text(std::string_view text, std::string_view also) {
  auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  if (text.empty() || text.size() > 63 || !alphanumeric(text.front()) || !alphanumeric(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return alphanumeric(c) || also.find(c) != also.npos; });
}

// A name as it could be meant: lower case, other characters as dashes.
std::string proposed_name(std::string_view text) {
  std::string out;
  for (char c : to_lower(text)) {
    bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (good || (!out.empty() && out.back() != '-')) out += good ? c : '-';
  }
  out.resize(std::min<size_t>(out.size(), 63));
  while (out.ends_with('-')) out.pop_back();
  return out;
}

// Each label is checked by itself, so that one bad key hides no other.
void read_labels(Reading& reading, Fields& metadata, std::map<std::string, std::string>& labels) {
  const yaml::Entry* entry = metadata.take("labels");
  if (!entry) return;
  std::string path = metadata.path_of("labels");
  Fields shape(reading, entry->value, path, entry->key_span);  // reports what is no map
  if (entry->value.entries.size() > max_labels)
    reading.report(Rule::GS0303, entry->key_span, path,
                   fmt::format("there are {} labels; an agent may have {}", entry->value.entries.size(), max_labels));
  for (const yaml::Entry& label : entry->value.entries) {
    std::string field = path + "." + label.key;
    auto value = read_argument(reading, label.value, field);
    if (!is_label_text(label.key, "-_./"))
      reading.report(Rule::GS0307, label.key_span, field,
                     fmt::format("`{}` cannot be the key of a label", clip(label.key)),
                     "use letters, digits, `-`, `_`, `.` and `/`, at most 63 characters");
    else if (value && !value->empty() && !is_label_text(*value, "-_."))
      reading.report(Rule::GS0307, label.value.span, field,
                     fmt::format("`{}` cannot be the value of a label", clip(*value)),
                     "use letters, digits, `-`, `_` and `.`, at most 63 characters");
    else if (value)
      labels[label.key] = *value;
  }
}

}  // namespace

const yaml::Node* read_name(Reading& reading, Fields& fields, std::string& out) {
  fields.require("name", "give the agent a name: it is its address, `/agent/NAME`");
  std::string name;
  const yaml::Node* node = fields.read_text("name", name);
  if (!node) return nullptr;
  if (is_name(name)) {
    out = name;
    return node;
  }
  std::string proposed = proposed_name(name);
  reading.report(Rule::GS0301, node->span, fields.path_of("name"), fmt::format("`{}` is not a valid name", clip(name)),
                 proposed.empty() ? "use lower-case letters, digits and `-`, at most 63 characters"
                                  : fmt::format("use lower-case letters, digits and `-`, such as `{}`", proposed));
  return nullptr;
}

void read_metadata(Reading& reading, Fields& resource, std::string& name, std::map<std::string, std::string>& labels) {
  resource.require("metadata", "add `metadata: { name: NAME }`");
  const yaml::Entry* entry = resource.take("metadata");
  if (!entry) return;
  Fields metadata(reading, entry->value, "metadata", entry->key_span);
  read_name(reading, metadata, name);
  read_labels(reading, metadata, labels);
  metadata.finish();
}

void AgentReader::read(Fields& fields, AgentSpec& out, const yaml::Span& place) {
  const Kind kind = read_kind(fields, place);
  read_command(fields, out.command);
  read_workdir(fields, out);
  read_env(fields, out);
  read_env_from(fields, out);
  read_dependencies(fields, out);
  read_volumes(fields, out);
  uint32_t port = out.port;
  fields.read_integer("port", port, port_range);
  out.port = static_cast<uint16_t>(port);
  fields.read_integer("replicas", out.replicas, replica_range);
  read_resources(fields, out);
  read_health(fields, out);
  read_persistence(fields, out);
  read_queue(fields, out.queue);
  read_breaker(fields, out.breaker);
  fields.read_integer("concurrency", out.concurrency, concurrency_range);
  fields.read_duration("timeout", out.timeout, timeout_range);
  fields.read_duration("grace", out.grace, grace_range);
  bool is_public = out.exposure == Exposure::public_path;
  fields.read_boolean("public", is_public);
  out.exposure = is_public ? Exposure::public_path : Exposure::keyed;
  // A declared agent has them of right: what is wrong is its kind, which is reported.
  for (std::string_view field : later_fields)
    kind == Kind::later ? fields.pass_over(field) : fields.refuse_later(field);
  fields.finish();
}

// The other fields are checked whatever the kind is: all mistakes in one pass.
AgentReader::Kind AgentReader::read_kind(Fields& fields, const yaml::Span& place) {
  std::vector<std::pair<std::string_view, const yaml::Entry*>> given;
  for (std::string_view kind : kinds) {
    if (!fields.has(kind)) continue;
    given.emplace_back(kind, fields.take(kind));
  }
  if (given.empty()) {
    fields.require("command", "say what the agent is, such as `command: [python3, app.py]`");
    return Kind::command;
  }
  auto at = [&](const yaml::Entry* entry) { return entry->key_span ? entry->key_span : place; };
  if (given.size() > 1) {
    auto [kind, entry] = given[1];
    reading_.report(Rule::GS0206, at(entry), fields.path_of(kind),
                    fmt::format("an agent has either `{}` or `{}`", given[0].first, kind), "remove one of them");
    return Kind::later;
  }
  auto [kind, entry] = given[0];
  if (kind == "command") return Kind::command;
  reading_.report(Rule::GS0502, at(entry), fields.path_of(kind),
                  fmt::format("this version does not support agents with `{}`", kind),
                  "use `command`: a program that listens on $PORT");
  return Kind::later;
}

// A list is taken as it is; a text is split like a shell does. Nothing is expanded in either.
void AgentReader::read_command(Fields& fields, std::vector<std::string>& out) {
  const yaml::Entry* entry = fields.take("command");
  if (!entry) return;
  const yaml::Node& node = entry->value;
  std::string path = fields.path_of("command");
  auto refuse = [&](std::string message, std::string help) {
    reading_.report(Rule::GS0305, node.span ? node.span : entry->key_span, path, std::move(message), std::move(help));
  };
  std::vector<std::string> words;
  if (node.kind == yaml::Kind::list) {
    for (size_t i = 0; i < node.items.size(); ++i)
      if (auto word = read_argument(reading_, node.items[i], fmt::format("{}.{}", path, i))) words.push_back(*word);
    if (words.size() < node.items.size()) return;
  } else if (node.kind == yaml::Kind::scalar) {
    auto text = read_argument(reading_, node, path);
    if (!text) return;
    auto split = split_command(*text);
    if (!split) return refuse(split.error().reason(), "close the quote, or write a list: [program, argument]");
    words = std::move(*split);
  } else {
    reading_.report(Rule::GS0203, node.span ? node.span : entry->key_span, path,
                    fmt::format("{} must be a list or text, not {}", reading_.name_of(path), yaml::kind_name(node)),
                    "write `command: [python3, app.py]`");
    return;
  }
  if (words.empty() || words[0].empty())
    return refuse("the command names no program", "write `command: [python3, app.py]`");
  if (words.size() > max_arguments)
    return refuse(fmt::format("the command has {} words; it may have {}", words.size(), max_arguments),
                  "put the arguments into a file of the workdir");
  out = std::move(words);
}

// Whether the directory exists is a question for who packs it, asked through the options: no I/O here.
void AgentReader::read_workdir(Fields& fields, AgentSpec& out) {
  std::string text;
  const yaml::Node* node = fields.read_text("workdir", text);
  if (!node) return;
  std::string path = fields.path_of("workdir");
  if (!read_argument(reading_, *node, path)) return;
  auto refuse = [&](std::string message, std::string help) {
    reading_.report(Rule::GS0308, node->span, path, std::move(message), std::move(help));
  };
  if (text.empty()) return refuse("the workdir is empty", "name a directory, or remove the line");
  if (text.starts_with("sha256:") && !crypto::parse_content_address(text))
    return refuse(fmt::format("`{}` is not the digest of a workdir", clip(text)),
                  "it is `sha256:` and 64 lower-case hex digits");
  out.workdir = text;
  if (text.starts_with("sha256:") || !reading_.options || !reading_.options->check_workdir) return;
  if (auto complaint = reading_.options->check_workdir(text))
    refuse(fmt::format("{}: {}", reading_.name_of(path), complaint->message), complaint->help);
}

// PORT and GANTRY_* are what the runtime promises to the program, so they cannot be taken.
void AgentReader::read_env(Fields& fields, AgentSpec& out) {
  const yaml::Entry* entry = fields.take("env");
  if (!entry) return;
  std::string path = fields.path_of("env");
  Fields shape(reading_, entry->value, path, entry->key_span);  // reports what is no map
  if (entry->value.entries.size() > max_variables)
    reading_.report(
        Rule::GS0303, entry->key_span, path,
        fmt::format("there are {} variables; an agent may have {}", entry->value.entries.size(), max_variables));
  for (const yaml::Entry& variable : entry->value.entries) {
    std::string field = path + "." + variable.key;
    auto refuse = [&](std::string message, std::string help) {
      reading_.report(Rule::GS0306, variable.key_span, field, std::move(message), std::move(help));
    };
    auto value = read_argument(reading_, variable.value, field);
    if (!is_variable_name(variable.key))
      refuse(fmt::format("`{}` cannot be the name of a variable", clip(variable.key)),
             "use letters, digits and `_`, no digit first");
    else if (variable.key == "PORT")
      refuse("`PORT` is set by Gantry", "use the field `port`");
    else if (variable.key.starts_with("GANTRY_"))
      refuse(fmt::format("`{}` is reserved: names with GANTRY_ are set by Gantry", clip(variable.key)),
             "use another name");
    else if (value)
      out.env[variable.key] = *value;
    if (const std::string* written = reading_.written(variable.value)) out.env_from[variable.key] = *written;
  }
}

// The form in which a spec that was read once travels and is stored; a file has references in `env`.
void AgentReader::read_env_from(Fields& fields, AgentSpec& out) {
  if (dialect_ == Dialect::deployment) return;
  const yaml::Entry* entry = fields.take_quietly("env_from");
  if (!entry) return;
  std::string path = fields.path_of("env_from");
  Fields shape(reading_, entry->value, path, entry->key_span);  // reports what is no map
  for (const yaml::Entry& variable : entry->value.entries) {
    auto value = read_argument(reading_, variable.value, path + "." + variable.key);
    if (!value) continue;
    if (!out.env.contains(variable.key) || !value->contains("${"))
      reading_.report(Rule::GS0309, variable.key_span, path + "." + variable.key,
                      fmt::format("`{}` is no reference of a variable of `env`", clip(*value)),
                      "write the reference into `env` itself: `NAME: ${NAME}`");
    else
      out.env_from[variable.key] = *value;
  }
}

// Whether the others exist, and whether they wait for this one, can be told when all are read.
void AgentReader::read_dependencies(Fields& fields, AgentSpec& out) {
  const bool is_deployment = dialect_ == Dialect::deployment;
  constexpr size_t most = 64;
  const yaml::Entry* entry =
      fields.take_list(is_deployment ? "dependencies" : "depends_on",
                       is_deployment ? "write `dependencies: [NAME, NAME]`" : "write `depends_on: [NAME, NAME]`");
  if (!entry) return;
  std::string path = fields.path_of(entry->key);
  const yaml::Node& list = entry->value;
  if (list.items.size() > most)
    reading_.report(Rule::GS0303, entry->key_span, path,
                    fmt::format("there are {} dependencies; an agent may have {}", list.items.size(), most));
  for (size_t i = 0; i < std::min(list.items.size(), most); ++i) {
    std::string field = fmt::format("{}.{}", path, i);
    auto name = read_argument(reading_, list.items[i], field);
    if (!name) continue;
    if (std::ranges::find(out.depends_on, *name) != out.depends_on.end()) {
      reading_.report(Rule::GS0313, list.items[i].span, field, fmt::format("`{}` is named twice", clip(*name)),
                      "remove one of them");
      continue;
    }
    out.depends_on.push_back(*name);
    dependency_places_.push_back({list.items[i].span ? list.items[i].span : entry->key_span, field});
  }
}

void AgentReader::read_resources(Fields& fields, AgentSpec& out) {
  const yaml::Entry* entry = fields.take("resources");
  if (!entry) return;
  Fields resources(reading_, entry->value, fields.path_of("resources"), entry->key_span);
  resources.read_bytes("memory", out.resources.memory, memory_range);
  resources.read_cpu("cpu", out.resources.cpu, cpu_range);
  resources.read_integer("pids", out.resources.pids, pid_range);
  resources.read_bytes("tmp", out.resources.tmp, disk_range);
  resources.read_bytes("workspace", out.resources.workspace, disk_range);
  resources.finish();
}

}  // namespace gantry::core
