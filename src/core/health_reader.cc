// Reads `health` of an agent: one probe for all, or one for each role.
#include <algorithm>
#include <charconv>

#include "core/agent_reader.h"

namespace gantry::core {
namespace {

using namespace std::chrono_literals;

constexpr Range<uint32_t> port_range{1, 65535};
constexpr Range<uint32_t> retry_range{1, 100};
// A program that loads a model may need many.
constexpr Range<uint32_t> startup_retry_range{1, 100'000};
constexpr Range<uint32_t> success_range{1, 100};
constexpr Range<Duration> interval_range{100ms, 24h};
constexpr Range<Duration> timeout_range{10ms, 10min};
constexpr Range<Duration> grace_range{0s, 24h};
constexpr size_t max_matches = 16;
constexpr size_t max_status_ranges = 32;

constexpr Choice<Probe::Kind> kinds[] = {
    {"http", Probe::Kind::http}, {"tcp", Probe::Kind::tcp}, {"exec", Probe::Kind::exec}};
constexpr Choice<OnUnhealthy> reactions[] = {
    {"restart", OnUnhealthy::restart}, {"stop", OnUnhealthy::stop}, {"none", OnUnhealthy::none}};

constexpr std::string_view http_fields[] = {"endpoint", "status", "json"};

// All of a text as a number of three digits.
bool read_status(std::string_view text, uint16_t& out) {
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && stop == text.data() + text.size() && out >= 100 && out <= 599;
}

}  // namespace

Result<StatusRange> parse_status_range(std::string_view text) {
  StatusRange range;
  size_t dash = text.find('-');
  bool good = read_status(text.substr(0, dash), range.least);
  range.most = range.least;
  if (good && dash != text.npos) good = read_status(text.substr(dash + 1), range.most);
  if (!good || range.most < range.least)
    return fail(Code::invalid, "`{}` is no status from 100 to 599 and no range such as 200-299", clip(text));
  return range;
}

std::string to_string(const StatusRange& range) {
  return range.least == range.most ? std::to_string(range.least) : fmt::format("{}-{}", range.least, range.most);
}

std::string_view to_string(Probe::Kind kind) {
  for (const auto& choice : kinds)
    if (choice.value == kind) return choice.word;
  return "tcp";
}

std::string_view to_string(OnUnhealthy what) {
  for (const auto& choice : reactions)
    if (choice.value == what) return choice.word;
  return "restart";
}

std::string_view to_string(ProbeRole role) {
  switch (role) {
    case ProbeRole::startup:
      return "startup";
    case ProbeRole::readiness:
      return "readiness";
    case ProbeRole::liveness:
      break;
  }
  return "liveness";
}

const Probe* Health::probe(ProbeRole role) const {
  switch (role) {
    case ProbeRole::startup:
      return startup ? &*startup : &check;
    case ProbeRole::readiness:
      return readiness ? &*readiness : nullptr;
    case ProbeRole::liveness:
      break;
  }
  return liveness ? &*liveness : &check;
}

void AgentReader::read_health(Fields& fields, AgentSpec& out) {
  const yaml::Entry* entry = fields.take(dialect_ == Dialect::agent ? "health" : "healthCheck");
  if (!entry) return;
  Fields health(reading_, entry->value, fields.path_of(entry->key), entry->key_span);
  Probe& check = out.health.check;
  read_probe(health, check);
  health.read_duration("interval", check.interval, interval_range);
  health.read_integer("retries", check.retries, retry_range);
  health.read_duration("grace", out.health.grace, grace_range);
  health.read_choice("on_unhealthy", out.health.on_unhealthy, reactions);
  for (ProbeRole role : probe_roles) read_role(health, role, out.health);
  health.finish();
}

// What a role does not say about times it has from the probe for all; that one's question it has not.
void AgentReader::read_role(Fields& health, ProbeRole role, Health& out) {
  const yaml::Entry* entry = health.take(to_string(role));
  if (!entry) return;
  Fields fields(reading_, entry->value, health.path_of(entry->key), entry->key_span);
  Probe probe;
  probe.timeout = out.check.timeout;
  probe.interval = role == ProbeRole::startup ? Duration{} : out.check.interval;
  probe.retries = role == ProbeRole::startup ? 0 : out.check.retries;
  read_probe(fields, probe);
  fields.read_duration("interval", probe.interval, interval_range);
  fields.read_integer("retries", probe.retries, role == ProbeRole::startup ? startup_retry_range : retry_range);
  if (role == ProbeRole::readiness) fields.read_integer("successes", probe.successes, success_range);
  fields.finish();
  std::optional<Probe>& place = role == ProbeRole::startup     ? out.startup
                                : role == ProbeRole::readiness ? out.readiness
                                                               : out.liveness;
  place = std::move(probe);
}

void AgentReader::read_probe(Fields& fields, Probe& out) {
  const yaml::Node* kind = fields.read_choice("kind", out.kind, kinds);
  const yaml::Node* endpoint = fields.read_text("endpoint", out.endpoint);
  read_statuses(fields, out);
  read_matches(fields, out);
  read_command(fields, out.command);
  uint32_t port = out.port;
  fields.read_integer("port", port, port_range);
  out.port = static_cast<uint16_t>(port);
  fields.read_duration("timeout", out.timeout, timeout_range);
  if (endpoint) check_endpoint(fields, out, *endpoint);
  check_kind(fields, out, kind);
}

void AgentReader::check_endpoint(const Fields& fields, const Probe& probe, const yaml::Node& node) {
  const std::string& text = probe.endpoint;
  bool printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  if (!text.starts_with('/') || text.size() > 2048 || !printable || text.find('#') != text.npos)
    reading_.report(Rule::GS0308, node.span, fields.path_of("endpoint"),
                    fmt::format("`{}` is not the path of a URL", clip(text)),
                    "it starts with `/` and has no spaces, such as `/health`");
}

// An endpoint alone means HTTP and a command alone means exec; a kind that says otherwise is a contradiction and not
// a preference.
void AgentReader::check_kind(const Fields& fields, Probe& out, const yaml::Node* kind) {
  auto refuse = [&](const yaml::Span& span, std::string_view field, std::string message, std::string help) {
    reading_.report(Rule::GS0309, span, fields.path_of(field), std::move(message), std::move(help));
  };
  const yaml::Entry* command = fields.peek("command");
  const yaml::Entry* of_http = nullptr;
  for (std::string_view field : http_fields)
    if (of_http == nullptr) of_http = fields.peek(field);
  auto refuse_field = [&](const yaml::Entry& entry, std::string_view needed) {
    std::string fix = kind ? fmt::format("remove `kind: {}`, or the {}", to_string(out.kind), entry.key)
                           : std::string("remove one of them");
    refuse(entry.value.span ? entry.value.span : entry.key_span, entry.key,
           fmt::format("{} needs an {} probe", reading_.name_of(fields.path_of(entry.key)), needed), std::move(fix));
  };
  if (of_http && (kind ? out.kind != Probe::Kind::http : command != nullptr)) return refuse_field(*of_http, "HTTP");
  if (command && kind && out.kind != Probe::Kind::exec) return refuse_field(*command, "exec");
  if (of_http) out.kind = Probe::Kind::http;
  if (command) out.kind = Probe::Kind::exec;
  const yaml::Span span = kind ? kind->span : of_http ? of_http->key_span : yaml::Span{};
  const std::string_view place = kind ? "kind" : of_http ? std::string_view(of_http->key) : "kind";
  if (out.kind == Probe::Kind::http && !fields.has("endpoint"))
    refuse(span, place, "an HTTP probe needs an endpoint", "add `endpoint: /health`");
  else if (out.kind == Probe::Kind::exec && !command)
    refuse(span, place, "an exec probe needs a command", "add `command: [python3, check.py]`");
  if (const yaml::Entry* port = fields.peek("port"); port && out.kind == Probe::Kind::exec)
    refuse(port->value.span, "port", "an exec probe has no port", "remove the line");
}

void AgentReader::read_statuses(Fields& fields, Probe& out) {
  const yaml::Entry* entry = fields.take("status");
  if (!entry) return;
  const yaml::Node& node = entry->value;
  const std::string path = fields.path_of("status");
  const bool is_list = node.kind == yaml::Kind::list;
  std::vector<StatusRange> ranges;
  auto add = [&](const yaml::Node& item, const std::string& field) {
    auto text = read_argument(reading_, item, field);
    if (!text) return;
    auto range = parse_status_range(*text);
    if (range)
      ranges.push_back(*range);
    else
      reading_.report(Rule::GS0303, item.span, field, std::string(range.error().reason()),
                      "write `200`, `200-299` or a list of those");
  };
  if (is_list && node.items.size() > max_status_ranges)
    return reading_.report(
        Rule::GS0303, entry->key_span, path,
        fmt::format("there are {} statuses; a probe may have {}", node.items.size(), max_status_ranges),
        "write ranges such as `200-299`");
  if (!is_list) add(node, path);
  for (size_t i = 0; is_list && i < node.items.size(); ++i) add(node.items[i], fmt::format("{}.{}", path, i));
  std::ranges::sort(ranges, {}, [](const StatusRange& range) { return std::pair(range.least, range.most); });
  out.status = std::move(ranges);
}

void AgentReader::read_matches(Fields& fields, Probe& out) {
  const yaml::Entry* entry = fields.take("json");
  if (!entry) return;
  const std::string path = fields.path_of("json");
  Fields shape(reading_, entry->value, path, entry->key_span);  // reports what is no map
  if (entry->value.entries.size() > max_matches)
    return reading_.report(
        Rule::GS0303, entry->key_span, path,
        fmt::format("there are {} values; a probe may have {}", entry->value.entries.size(), max_matches));
  std::map<std::string, std::string> matches;
  for (const yaml::Entry& match : entry->value.entries)
    if (auto value = read_argument(reading_, match.value, path + "." + match.key)) matches[match.key] = *value;
  out.json = std::move(matches);
}

}  // namespace gantry::core
