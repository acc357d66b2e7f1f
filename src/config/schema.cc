#include <algorithm>
#include <charconv>

#include "config/config.h"

namespace gantry::config {
namespace {

constexpr int64_t mebi = int64_t{1} << 20;
constexpr int64_t gibi = int64_t{1} << 30;
constexpr int64_t second = 1'000'000'000;
constexpr int64_t day = 86'400 * second;

// Sorted by name. The reference page and `gantry config` are made from this table.
constexpr Option options[] = {
    {.name = "audit_retention",
     .type = Type::duration,
     .fallback = "90d",
     .environment = "GANTRY_AUDIT_RETENTION",
     .description = "How long the audit trail keeps who did what to stored requests.",
     .least = 60 * second,
     .most = 3650 * day,
     .on_command_line = OnCommandLine::none},
    {.name = "color",
     .type = Type::choice,
     .fallback = "auto",
     .environment = "GANTRY_COLOR",
     .description = "Colours in what the command line prints; `auto` means on a terminal and without NO_COLOR.",
     .choices = "auto|always|never",
     .on_command_line = OnCommandLine::none},
    {.name = "data",
     .type = Type::path,
     .fallback = "~/.gantry",
     .environment = "GANTRY_DATA",
     .description = "Data directory of the server; the command line finds a local server and its key through it."},
    {.name = "encryption_key",
     .type = Type::text,
     .fallback = "",
     .environment = "GANTRY_ENCRYPTION_KEY",
     .description = "Master key for encryption at rest, 64 hex digits or base64 of 32 bytes; a file is safer.",
     .secrecy = Secrecy::secret,
     .on_command_line = OnCommandLine::none},
    {.name = "encryption_key_file",
     .type = Type::path,
     .fallback = "",
     .environment = "GANTRY_ENCRYPTION_KEY_FILE",
     .description = "File with the master key for encryption at rest, which nobody else may read (mode 0600)."},
    {.name = "housekeeping_interval",
     .type = Type::duration,
     .fallback = "10m",
     .environment = "GANTRY_HOUSEKEEPING_INTERVAL",
     .description = "How often the server looks for finished requests that passed their retention.",
     .least = second,
     .most = day,
     .on_command_line = OnCommandLine::none},
    {.name = "io_threads",
     .type = Type::integer,
     .fallback = "0",
     .environment = "GANTRY_IO_THREADS",
     .description = "Threads of the server that serve connections; 0 means one for each core.",
     .least = 0,
     .most = 1024},
    {.name = "journal_segment_size",
     .type = Type::size,
     .fallback = "64Mi",
     .environment = "GANTRY_JOURNAL_SEGMENT_SIZE",
     .description = "Size of one file of the journal; the unit in which its space is freed.",
     .least = 4 * mebi,  // a group of records must fit
     .most = 4 * gibi},
    {.name = "key",
     .type = Type::text,
     .fallback = "",
     .environment = "GANTRY_KEY",
     .description = "Bearer key that the command line sends; without it the root key of the data directory.",
     .secrecy = Secrecy::secret},
    {.name = "listen",
     .type = Type::address,
     .fallback = "127.0.0.1:8081",
     .environment = "GANTRY_LISTEN",
     .description = "Address and port that the server listens on; with port 0 the kernel picks one."},
    {.name = "log_format",
     .type = Type::choice,
     .fallback = "json",
     .environment = "GANTRY_LOG_FORMAT",
     .description =
         "Form of the log lines on standard error: one JSON object a line, or text for people; the log file is JSON.",
     .choices = "json|text"},
    {.name = "log_level",
     .type = Type::choice,
     .fallback = "info",
     .environment = "GANTRY_LOG_LEVEL",
     .description = "Least severe log lines that are written.",
     .choices = "debug|info|warn|error|off"},
    {.name = "max_in_flight",
     .type = Type::integer,
     .fallback = "16384",
     .environment = "GANTRY_MAX_IN_FLIGHT",
     .description = "Requests to agents that are worked on at once, over all agents; more are refused with 503.",
     .least = 1,
     .most = 10'000'000,
     .on_command_line = OnCommandLine::none},
    {.name = "output",
     .type = Type::choice,
     .fallback = "table",
     .environment = "GANTRY_OUTPUT",
     .description = "Form in which listings are printed.",
     .choices = "table|wide|json|jsonl|yaml|name"},
    {.name = "quota_agents",
     .type = Type::text,
     .fallback = "none",
     .environment = "GANTRY_QUOTA_AGENTS",
     .description = "Agents that the default scope may have, a number or `none`; `gantry quota set` wins.",
     .on_command_line = OnCommandLine::none},
    {.name = "quota_cpu",
     .type = Type::text,
     .fallback = "none",
     .environment = "GANTRY_QUOTA_CPU",
     .description =
         "CPUs that all instances of the default scope may ask for, `4` or `500m` or `none`; `gantry quota set` wins.",
     .on_command_line = OnCommandLine::none},
    {.name = "quota_instances",
     .type = Type::text,
     .fallback = "none",
     .environment = "GANTRY_QUOTA_INSTANCES",
     .description = "Instances (replicas) that the agents of the default scope may ask for, a number or `none`; "
                    "`gantry quota set` wins.",
     .on_command_line = OnCommandLine::none},
    {.name = "quota_memory",
     .type = Type::text,
     .fallback = "none",
     .environment = "GANTRY_QUOTA_MEMORY",
     .description = "Memory that all instances of the default scope may ask for, a size such as `8Gi` or `none`; "
                    "`gantry quota set` wins.",
     .on_command_line = OnCommandLine::none},
    {.name = "quota_storage",
     .type = Type::text,
     .fallback = "none",
     .environment = "GANTRY_QUOTA_STORAGE",
     .description = "Size of all workspaces that the default scope may ask for, a size such as `100Gi` or `none`; "
                    "`gantry quota set` wins.",
     .on_command_line = OnCommandLine::none},
    {.name = "request_body_limit",
     .type = Type::size,
     .fallback = "1Gi",
     .environment = "GANTRY_REQUEST_BODY_LIMIT",
     .description = "Largest body of a request; larger ones are refused with 413.",
     .least = 0,
     .most = 1024 * gibi},
    {.name = "retention",
     .type = Type::duration,
     .fallback = "30d",
     .environment = "GANTRY_RETENTION",
     .description = "How long finished requests are kept where the agent does not say otherwise.",
     .least = 60 * second,
     .most = 3650 * day},
    {.name = "url",
     .type = Type::url,
     .fallback = "",
     .environment = "GANTRY_URL",
     .description = "Address of the server that the command line speaks to; without it the one of the data directory."},
    {.name = "wait_timeout",
     .type = Type::duration,
     .fallback = "2m",
     .environment = "GANTRY_WAIT_TIMEOUT",
     .description = "How long a command waits until agents have reached the wanted state.",
     .least = 0,
     .most = day,
     .on_command_line = OnCommandLine::none},
    {.name = "webhook_allowed_hosts",
     .type = Type::text,
     .fallback = "",
     .environment = "GANTRY_WEBHOOK_ALLOWED_HOSTS",
     .description =
         "Where webhooks may go, with commas: hostnames, `*.example.com`, `*` for any with a public address, "
         "addresses and networks such as `10.1.0.0/16`; empty means `*`.",
     .on_command_line = OnCommandLine::none},
    {.name = "webhook_ca_file",
     .type = Type::path,
     .fallback = "",
     .environment = "GANTRY_WEBHOOK_CA_FILE",
     .description = "File with certificates in PEM that https calls of webhooks trust besides those of the machine.",
     .on_command_line = OnCommandLine::none},
};

Result<> check_integer(const Option& option, std::string_view value) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size())
    return fail(Code::invalid, "'{}' is not an integer", value.substr(0, 64));
  if (number < option.least || number > option.most)
    return fail(Code::invalid, "{} is not between {} and {}", number, option.least, option.most);
  return {};
}

Result<> check_size(const Option& option, std::string_view value) {
  GANTRY_TRY(Bytes size, parse_bytes(value));
  auto least = static_cast<uint64_t>(option.least), most = static_cast<uint64_t>(option.most);
  if (size.count < least || size.count > most)
    return fail(Code::invalid, "{} is not between {} and {}", value, format_bytes({least}), format_bytes({most}));
  return {};
}

Result<> check_duration(const Option& option, std::string_view value) {
  GANTRY_TRY(Duration duration, parse_duration(value));
  if (duration < Duration(option.least) || duration > Duration(option.most))
    return fail(Code::invalid, "{} is not between {} and {}", value, format_duration(Duration(option.least)),
                format_duration(Duration(option.most)));
  return {};
}

std::vector<std::string_view> words_of(std::string_view choices) {
  std::vector<std::string_view> words;
  while (!choices.empty()) {
    size_t end = std::min(choices.find('|'), choices.size());
    words.push_back(choices.substr(0, end));
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return words;
}

Result<> check_choice(const Option& option, std::string_view value) {
  auto words = words_of(option.choices);
  if (std::ranges::find(words, value) != words.end()) return {};
  return fail(Code::invalid, "'{}' is none of {}", value.substr(0, 64), fmt::join(words, ", "));
}

// Names are not resolved here: that is I/O, and `gantry up` says what it could not bind.
// host:port, where the host may be an IPv6 address in brackets.
Result<> check_address(std::string_view value) {
  size_t colon = value.rfind(':');
  std::string_view host = value.substr(0, colon);
  bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  uint16_t port = 0;
  if (colon != value.npos && !host.empty() && (bracketed || host.find(':') == host.npos)) {
    const char* last = value.data() + value.size();
    auto [end, error] = std::from_chars(value.data() + colon + 1, last, port);
    if (error == std::errc() && end == last) return {};
  }
  return fail(Code::invalid, "'{}' is not an address such as 127.0.0.1:8081 or [::1]:8081", value.substr(0, 64));
}

// Only what every URL of a server has; the HTTP client parses the rest.
Result<> check_url(std::string_view value) {
  std::string_view rest = value;
  for (std::string_view scheme : {"http://", "https://"})
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  bool clean = std::ranges::none_of(rest, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
  if (rest.size() < value.size() && !rest.empty() && rest[0] != '/' && clean) return {};
  return fail(Code::invalid, "'{}' is not a URL such as http://127.0.0.1:8081", value.substr(0, 64));
}

}  // namespace

std::string_view to_string(Type type) {
  switch (type) {
    case Type::text:
      return "text";
    case Type::path:
      return "path";
    case Type::address:
      return "address";
    case Type::url:
      return "URL";
    case Type::integer:
      return "integer";
    case Type::size:
      return "size";
    case Type::duration:
      return "duration";
    case Type::choice:
      return "choice";
  }
  return "text";
}

std::span<const Option> schema() { return options; }

const Option* find_option(std::string_view name) {
  auto at = std::ranges::find(options, name, &Option::name);
  return at == std::end(options) ? nullptr : at;
}

std::string flag_name(const Option& option) {
  std::string name = "--" + std::string(option.name);
  std::ranges::replace(name, '_', '-');
  return name;
}

Result<> check_value(const Option& option, std::string_view value) {
  // Nothing is a value where it is the default.
  if (value.empty() && option.fallback.empty()) return {};
  if (value.empty()) return fail(Code::invalid, "the value is empty");
  if (std::ranges::any_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return fail(Code::invalid, "the value holds control characters");
  switch (option.type) {
    case Type::text:
    case Type::path:
      return {};
    case Type::address:
      return check_address(value);
    case Type::url:
      return check_url(value);
    case Type::integer:
      return check_integer(option, value);
    case Type::size:
      return check_size(option, value);
    case Type::duration:
      return check_duration(option, value);
    case Type::choice:
      return check_choice(option, value);
  }
  return {};
}

std::string schema_markdown() {
  std::string out =
      "| option | flag | variable | type | default | meaning |\n"
      "|---|---|---|---|---|---|\n";
  for (const Option& option : options) {
    std::string type(to_string(option.type));
    if (option.type == Type::choice) type = fmt::format("`{}`", fmt::join(words_of(option.choices), "` `"));
    if (option.secrecy == Secrecy::secret) type += ", secret";
    std::string fallback = option.fallback.empty() ? "none" : fmt::format("`{}`", option.fallback);
    std::string flag = option.on_command_line == OnCommandLine::none ? "–" : fmt::format("`{}`", flag_name(option));
    out += fmt::format("| `{}` | {} | `{}` | {} | {} | {} |\n", option.name, flag, option.environment, type, fallback,
                       option.description);
  }
  return out;
}

}  // namespace gantry::config
