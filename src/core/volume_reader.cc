// Reads `volumes` of an agent. Whether the paths exist is a question for the server: no I/O here.
#include <algorithm>

#include "core/agent_reader.h"

namespace gantry::core {
namespace {

constexpr size_t max_volumes = 32;
constexpr size_t max_path = 4096;

// What the sandbox puts together itself (src/sandbox/drivers/bubblewrap/arguments.cc).
constexpr std::string_view own_places[] = {"/app",   "/bin",   "/boot",   "/dev",  "/etc",      "/lib",
                                           "/lib32", "/lib64", "/libx32", "/proc", "/run",      "/sbin",
                                           "/sys",   "/tmp",   "/usr",    "/var",  "/workspace"};
// Of this only the top is. Below /workspace the program could leave a link that leads elsewhere.
constexpr std::string_view open_places[] = {"/app"};

bool is_below(std::string_view path, std::string_view top) {
  return path.size() > top.size() && path.starts_with(top) && path[top.size()] == '/';
}

// Absolute, with no empty, `.` and `..` parts and no slash at the end.
bool is_plain_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() < 2 || path.size() > max_path || path.ends_with('/')) return false;
  for (size_t at = 1; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

bool is_own_place(std::string_view path) {
  if (std::ranges::find(own_places, path) != std::end(own_places)) return true;
  return std::ranges::any_of(own_places, [&](std::string_view place) {
    return is_below(path, place) && std::ranges::find(open_places, place) == std::end(open_places);
  });
}

}  // namespace

void AgentReader::read_volumes(Fields& fields, AgentSpec& out) {
  const yaml::Entry* entry = fields.take_list("volumes", "write `volumes: [{ host: ./models, container: /models }]`");
  if (!entry) return;
  const yaml::Node& list = entry->value;
  std::string path = fields.path_of("volumes");
  if (list.items.size() > max_volumes)
    reading_.report(Rule::GS0303, entry->key_span, path,
                    fmt::format("there are {} volumes; an agent may have {}", list.items.size(), max_volumes));
  for (size_t i = 0; i < std::min(list.items.size(), max_volumes); ++i)
    read_volume(list.items[i], fmt::format("{}.{}", path, i), entry->key_span, out);
}

void AgentReader::read_volume(const yaml::Node& node, const std::string& path, const yaml::Span& place,
                              AgentSpec& out) {
  Volume volume;
  Fields fields(reading_, node, path, node.span ? node.span : place);
  if (node.kind != yaml::Kind::map) return;
  fields.require("host", "name a directory or file, relative to this file");
  fields.require("container", "name the absolute path inside, such as `/models`");
  const yaml::Node* host = fields.read_text("host", volume.host);
  const yaml::Node* container = fields.read_text("container", volume.container);
  if (host && read_argument(reading_, *host, fields.path_of("host")) && volume.host.empty())
    reading_.report(Rule::GS0308, host->span, fields.path_of("host"), "the host path is empty",
                    "name a directory or file, or remove the volume");
  if (container) check_container(*container, fields.path_of("container"), out, volume.container);
  bool is_read_only = false;
  fields.read_boolean(dialect_ == Dialect::agent ? "read_only" : "readOnly", is_read_only);
  volume.access = is_read_only ? Volume::Access::read_only : Volume::Access::read_write;
  fields.finish();
  out.volumes.push_back(std::move(volume));
}

void AgentReader::check_container(const yaml::Node& node, const std::string& path, const AgentSpec& out,
                                  const std::string& text) {
  auto refuse = [&](std::string message, std::string help) {
    reading_.report(Rule::GS0314, node.span, path, std::move(message), std::move(help));
  };
  if (!read_argument(reading_, node, path)) return;
  if (!is_plain_path(text))
    return refuse(fmt::format("`{}` is not an absolute path", clip(text)),
                  "it starts with `/` and has no `..`, such as `/models`");
  if (is_own_place(text))
    return refuse(fmt::format("`{}` belongs to the sandbox", clip(text)),
                  "use a path such as `/models` or `/app/models`");
  for (const Volume& other : out.volumes)
    if (other.container == text || is_below(text, other.container) || is_below(other.container, text))
      return refuse(fmt::format("`{}` is in the way of the volume at `{}`", clip(text), clip(other.container)),
                    "mount the two beside each other");
}

}  // namespace gantry::core
