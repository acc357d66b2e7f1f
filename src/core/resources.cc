// From text to agents: the documents of a source, their kinds, and what may not be twice.
#include <algorithm>
#include <tuple>

#include "core/agent_reader.h"

namespace gantry::core {
namespace {

constexpr std::string_view known_kinds[] = {"Agent", "AgentDeployment"};
constexpr std::string_view later_kinds[] = {"Workflow", "Flow",   "Tool",    "Plugin",
                                            "Policy",   "Secret", "Trigger", "ModelRoute"};
constexpr std::string_view versions[] = {"gantry/v1", "agentainer/v1"};

// What is wrong with the text is ours to explain, so it gets codes of this table.
Rule rule_of(yaml::Problem::What what) {
  switch (what) {
    case yaml::Problem::What::syntax:
      return Rule::GS0101;
    case yaml::Problem::What::limit:
      return Rule::GS0102;
    case yaml::Problem::What::duplicate_key:
      return Rule::GS0103;
    case yaml::Problem::What::unsupported:
      return Rule::GS0104;
  }
  return Rule::GS0101;
}

// What mends a mistake of this kind, for problems that do not know better.
std::string help_about(yaml::Problem::What what) {
  switch (what) {
    case yaml::Problem::What::syntax:
      return "here or in the lines above, a closing quote, a bracket or a colon is missing";
    case yaml::Problem::What::limit:
      return "split the file, or write it with fewer levels and aliases";
    case yaml::Problem::What::duplicate_key:
      return "remove one of the two";
    case yaml::Problem::What::unsupported:
      return "write it as plain text, a list or a map";
  }
  return "";
}

// Reads documents one after the other and remembers the names that are taken.
class ResourceReader {
 public:
  explicit ResourceReader(Reading& reading) : reading_(reading) {}

  std::vector<AgentSpec> agents;
  std::vector<std::string> stacks;
  std::vector<OutsideDependency> outside;

  void read(const yaml::Node& document) {
    Fields resource(reading_, document, "", document.span);
    if (document.kind != yaml::Kind::map) return;
    std::string version = read_version(resource);
    std::string kind = read_kind(resource);
    if (kind == "Agent") return read_agent(resource, version);
    if (kind == "AgentDeployment") return read_deployment(resource);
    if (resource.has("kind")) return;
    // Without a kind only the outermost fields are known; perhaps one of them is `knd`.
    resource.take("metadata");
    resource.take("spec");
    resource.finish();
  }

  /// When all are read: who depends on whom.
  void check_dependencies() {
    std::vector<std::string_view> known;
    for (const auto& [name, line] : lines_) known.push_back(name);
    for (const Node& node : nodes_)
      for (size_t i = 0; i < node.depends_on.size(); ++i) check_dependency(node, i, known);
    for (size_t i = 0; i < nodes_.size(); ++i) indices_.emplace(nodes_[i].name, i);
    for (size_t i = 0; i < nodes_.size(); ++i) find_circles(i);
  }

 private:
  // An agent as the graph of dependencies has it, also if its own fields have mistakes.
  struct Node {
    std::string name;
    Dialect dialect = Dialect::agent;
    std::vector<std::string> depends_on;
    std::vector<DependencyPlace> places;
    enum class Visit { not_yet, under_way, done } visit = Visit::not_yet;
  };

  void check_dependency(const Node& node, size_t index, std::span<const std::string_view> known) {
    const std::string& name = node.depends_on[index];
    const DependencyPlace& place = node.places[index];
    if (lines_.contains(name)) return;
    OutsideDependency dependency{node.name, name, place.span, place.field};
    if (node.dialect == Dialect::agent) return outside.push_back(std::move(dependency));
    ++reading_.mistakes;
    Diagnostic diagnostic = unknown_dependency(dependency, known);
    diagnostic.file = reading_.file;
    reading_.diagnostics.push_back(std::move(diagnostic));
  }

  // Depth first; an agent that is reached from itself closes a circle. At most 1000 deep.
  void find_circles(size_t index) {
    Node& node = nodes_[index];
    if (node.visit != Node::Visit::not_yet) return;
    node.visit = Node::Visit::under_way;
    way_.push_back(index);
    for (size_t i = 0; i < node.depends_on.size(); ++i) {
      auto found = indices_.find(node.depends_on[i]);
      if (found == indices_.end()) continue;
      if (nodes_[found->second].visit == Node::Visit::under_way)
        report_circle(found->second, node.places[i]);
      else
        find_circles(found->second);
    }
    way_.pop_back();
    node.visit = Node::Visit::done;
  }

  void report_circle(size_t first, const DependencyPlace& place) {
    std::string circle;
    for (auto it = std::ranges::find(way_, first); it != way_.end(); ++it) circle += nodes_[*it].name + " -> ";
    circle += nodes_[first].name;
    reading_.report(Rule::GS0312, place.span, place.field,
                    fmt::format("agents depend on each other in a circle: `{}`", circle),
                    "remove one of these dependencies: none of the agents could start first");
  }

  std::string read_version(Fields& resource) {
    resource.require("apiVersion", "add `apiVersion: gantry/v1`");
    std::string version;
    const yaml::Node* node = resource.read_text("apiVersion", version);
    if (!node || std::ranges::find(versions, version) != std::end(versions)) return version;
    reading_.report(Rule::GS0204, node->span, "apiVersion", fmt::format("there is no apiVersion `{}`", clip(version)),
                    "write `apiVersion: gantry/v1`");
    return version;
  }

  std::string read_kind(Fields& resource) {
    resource.require("kind", "add `kind: Agent`");
    std::string kind;
    const yaml::Node* node = resource.read_text("kind", kind);
    if (!node || std::ranges::find(known_kinds, kind) != std::end(known_kinds)) return kind;
    if (std::ranges::find(later_kinds, kind) != std::end(later_kinds)) {
      reading_.report(Rule::GS0502, node->span, "kind",
                      fmt::format("this version does not support resources of kind `{}`", kind),
                      "remove the resource; `Agent` and `AgentDeployment` are supported");
      return kind;
    }
    auto near = closest(kind, known_kinds);
    reading_.report(Rule::GS0205, node->span, "kind", fmt::format("there is no kind `{}`", clip(kind)),
                    near ? fmt::format("did you mean `{}`?", *near) : "the kinds are `Agent` and `AgentDeployment`");
    return kind;
  }

  // Metadata and spec are read even if the version is wrong: all mistakes in one pass.
  void read_agent(Fields& resource, const std::string& version) {
    size_t before = reading_.mistakes;
    if (version == "agentainer/v1")
      reading_.report(Rule::GS0204, resource.take("apiVersion")->value.span, "apiVersion",
                      "agentainer/v1 has no kind `Agent`", "write `apiVersion: gantry/v1`");
    AgentSpec agent;
    read_metadata(reading_, resource, agent.name, agent.labels);
    resource.require("spec", "add `spec:` with at least `command`");
    if (const yaml::Entry* spec = resource.take("spec")) {
      Fields fields(reading_, spec->value, "spec", spec->key_span);
      if (spec->value.kind == yaml::Kind::map || spec->value.kind == yaml::Kind::null)
        read_fields(fields, Dialect::agent, agent, spec->key_span);
    }
    resource.finish();
    if (!agent.stack().empty()) remember_stack(std::string(agent.stack()));
    keep(std::move(agent), name_place(resource), "metadata.name", before);
  }

  void read_fields(Fields& fields, Dialect dialect, AgentSpec& agent, const yaml::Span& place) {
    AgentReader reader(reading_, dialect);
    reader.read(fields, agent, place);
    if (agent.name.empty()) return;
    nodes_.push_back({agent.name, dialect, agent.depends_on, reader.dependency_places()});
  }

  void remember_stack(std::string name) {
    if (std::ranges::find(stacks, name) == stacks.end()) stacks.push_back(std::move(name));
  }

  // The label by which its agents know their stack is the name of the deployment.
  void put_stack(Fields& resource, const std::string& name, std::map<std::string, std::string>& labels) {
    if (name.empty()) return;
    const yaml::Entry* metadata = resource.take("metadata");
    const yaml::Entry* given = metadata ? metadata->value.find("labels") : nullptr;
    const yaml::Entry* label = given ? given->value.find(stack_label) : nullptr;
    if (label && label->value.text != name)
      reading_.report(Rule::GS0309, label->key_span, fmt::format("metadata.labels.{}", stack_label),
                      fmt::format("the label `{}` is the name of the deployment, `{}`", stack_label, name),
                      "remove the label");
    labels[std::string(stack_label)] = name;
    remember_stack(name);
  }

  // A deployment is no resource of its own here: it stands for its agents, which inherit its labels.
  void read_deployment(Fields& resource) {
    std::string name;
    std::map<std::string, std::string> labels;
    read_metadata(reading_, resource, name, labels);
    put_stack(resource, name, labels);
    resource.require("spec", "add `spec: { agents: [...] }`");
    if (const yaml::Entry* entry = resource.take("spec")) {
      Fields spec(reading_, entry->value, "spec", entry->key_span);
      spec.require("agents", "list the agents of the deployment");
      if (const yaml::Entry* list = spec.take("agents")) read_deployed(*list, labels);
      spec.finish();
    }
    resource.finish();
  }

  void read_deployed(const yaml::Entry& list, const std::map<std::string, std::string>& labels) {
    if (list.value.kind != yaml::Kind::list) {
      reading_.report(Rule::GS0203, list.value.span ? list.value.span : list.key_span, "spec.agents",
                      fmt::format("`agents` must be a list, not {}", yaml::kind_name(list.value)),
                      "start each agent with `- name: NAME`");
      return;
    }
    for (size_t i = 0; i < list.value.items.size(); ++i) {
      const yaml::Node& item = list.value.items[i];
      size_t before = reading_.mistakes;
      AgentSpec agent;
      agent.labels = labels;
      std::string path = fmt::format("spec.agents.{}", i);
      Fields fields(reading_, item, path, item.span);
      if (item.kind != yaml::Kind::map) continue;
      const yaml::Node* name = read_name(reading_, fields, agent.name);
      read_fields(fields, Dialect::deployment, agent, item.span);
      keep(std::move(agent), name ? name->span : item.span, path + ".name", before);
    }
  }

  // Where the name stands, for the report about a second agent with it.
  static yaml::Span name_place(Fields& resource) {
    const yaml::Entry* metadata = resource.take("metadata");
    const yaml::Entry* name = metadata ? metadata->value.find("name") : nullptr;
    return name ? name->value.span : yaml::Span{};
  }

  // Keeps an agent that is right in itself, if no other has its name.
  void keep(AgentSpec agent, const yaml::Span& place, const std::string& path, size_t before) {
    if (!agent.name.empty()) {
      auto [first, is_new] = lines_.emplace(agent.name, place.line);
      if (!is_new)
        reading_.report(Rule::GS0207, place, path, fmt::format("there are two agents with the name `{}`", agent.name),
                        fmt::format("the other one is on line {}; rename one of them", first->second));
    }
    if (++count_ == max_resources + 1)
      reading_.report(Rule::GS0102, place, path, fmt::format("there are more than {} agents", max_resources),
                      "split the file");
    if (count_ > max_resources) return;
    if (reading_.mistakes == before) agents.push_back(std::move(agent));
  }

  Reading& reading_;
  std::map<std::string, uint32_t> lines_;  // of each agent's name
  std::vector<Node> nodes_;
  std::map<std::string, size_t, std::less<>> indices_;  // of the first node with a name
  std::vector<size_t> way_;                             // from where the search began to where it is
  size_t count_ = 0;
};

// Reading goes by field; people read files from top to bottom.
void sort_by_place(std::vector<Diagnostic>& diagnostics) {
  // The index keeps the order of mistakes at one place; std::stable_sort is built on a deprecated call.
  std::vector<std::tuple<uint32_t, uint32_t, size_t>> order;
  for (size_t i = 0; i < diagnostics.size(); ++i)
    order.emplace_back(diagnostics[i].span.line, diagnostics[i].span.column, i);
  std::ranges::sort(order);
  std::vector<Diagnostic> sorted;
  for (auto [line, column, i] : order) sorted.push_back(std::move(diagnostics[i]));
  diagnostics = std::move(sorted);
}

// Reads one document that does not come from a file.
std::vector<AgentSpec> read_made(const AgentSpec& spec, Reading& reading) {
  ResourceReader reader(reading);
  reader.read(yaml::from_json(resource_json(spec)));
  return std::move(reader.agents);
}

}  // namespace

Parsed parse_resources(const Source& source, const ParseOptions& options) {
  Parsed parsed;
  yaml::Parsed tree = yaml::parse(source.text, {.max_bytes = max_source_size.count, .max_documents = max_resources});
  for (yaml::Problem& problem : tree.problems)
    parsed.diagnostics.push_back({.rule = rule_of(problem.what),
                                  .message = std::move(problem.message),
                                  .file = source.file,
                                  .span = problem.span,
                                  .field = "",
                                  .help = problem.help.empty() ? help_about(problem.what) : std::move(problem.help)});
  Substitution substitution(options.environment, source.file, parsed.diagnostics);
  for (yaml::Node& document : tree.documents) substitution.apply(document);

  Reading reading{source.file, parsed.diagnostics, &substitution, FieldStyle::path, &options};
  if (tree.documents.empty() && tree.problems.empty())
    reading.report(Rule::GS0105, {}, "", "the text describes no resource",
                   "start with `apiVersion: gantry/v1` and `kind: Agent`");
  ResourceReader reader(reading);
  for (const yaml::Node& document : tree.documents) reader.read(document);
  reader.check_dependencies();
  // A problem of the text may belong to any agent.
  if (tree.problems.empty()) parsed.agents = std::move(reader.agents);
  parsed.stacks = std::move(reader.stacks);
  parsed.outside = std::move(reader.outside);
  sort_by_place(parsed.diagnostics);
  return parsed;
}

std::vector<Diagnostic> validate_agent_spec(const AgentSpec& spec, const ParseOptions& options) {
  std::vector<Diagnostic> diagnostics;
  Reading reading{"", diagnostics, nullptr, FieldStyle::flag, &options};
  read_made(spec, reading);
  return diagnostics;
}

Result<AgentSpec> spec_from_json(std::string_view text) {
  auto value = json::parse(text, {.max_bytes = 4 * max_source_size.count});
  if (!value) return fail(Code::data_loss, "stored spec: {}", value.error().reason());
  std::vector<Diagnostic> diagnostics;
  Reading reading{.file = "", .diagnostics = diagnostics, .is_stored = true};
  ResourceReader reader(reading);
  reader.read(yaml::from_json(*value));
  if (!diagnostics.empty()) return fail(Code::data_loss, "stored spec: {}", diagnostics[0].message);
  if (reader.agents.size() != 1)
    return fail(Code::data_loss, "stored spec: it describes {} agents", reader.agents.size());
  return std::move(reader.agents[0]);
}

}  // namespace gantry::core
