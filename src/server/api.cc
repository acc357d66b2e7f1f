#include "server/api.h"

#include <algorithm>
#include <charconv>

namespace gantry::server {
namespace {

constexpr std::string_view proxy_prefix = "/agent/";
// Where no body is wanted, an empty object is what some clients send; nobody needs more.
constexpr size_t most_ignored_body = 4096;

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  for (size_t at = 1; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    segments.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

// The raw values of the `{…}` of a pattern; nullopt if the path is another one.
std::optional<std::vector<std::string_view>> match(std::string_view pattern,
                                                   const std::vector<std::string_view>& path) {
  std::vector<std::string_view> wanted = segments_of(pattern);
  if (wanted.size() != path.size()) return std::nullopt;
  std::vector<std::string_view> parameters;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].starts_with('{') && !path[i].empty())
      parameters.push_back(path[i]);
    else if (wanted[i] != path[i])
      return std::nullopt;
  }
  return parameters;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || high * 16 + low == 0)
      return fail(Code::invalid, "'{}' holds a percent sign that is no escape of a character", text.substr(0, 200));
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> values;
  while (!query.empty()) {
    size_t end = std::min(query.find('&'), query.size());
    std::string item(query.substr(0, end));
    query.remove_prefix(std::min(end + 1, query.size()));
    if (item.empty()) continue;
    std::replace(item.begin(), item.end(), '+', ' ');
    size_t equals = std::min(item.find('='), item.size());
    GANTRY_TRY(std::string name, percent_decode(std::string_view(item).substr(0, equals)));
    GANTRY_TRY(std::string value, percent_decode(std::string_view(item).substr(std::min(equals + 1, item.size()))));
    values.emplace_back(std::move(name), std::move(value));
  }
  return values;
}

std::optional<std::string_view> Context::find(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return std::nullopt;
}

Result<size_t> limit_of(const Context& context) {
  auto text = context.find("limit");
  if (!text) return size_t{100};
  size_t limit = 0;
  auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc() || stop != text->data() + text->size() || limit < 1 || limit > 1000)
    return fail(Code::invalid, "limit: '{}' is not a number from 1 to 1000", text->substr(0, 64));
  return limit;
}

Result<std::optional<Duration>> duration_of(const Context& context, std::string_view name) {
  auto text = context.find(name);
  if (!text) return std::optional<Duration>{};
  auto duration = parse_duration(*text);
  if (!duration) return std::unexpected(std::move(duration).error().wrap(name));
  return std::optional<Duration>(*duration);
}

json::Value listing(json::Array data, std::string next) {
  return json::Object{{"data", std::move(data)}, {"next", next.empty() ? json::Value(nullptr) : json::Value(next)}};
}

std::span<const Api::Route> Api::routes() {
  static constexpr Route all[] = {
      {"GET", "/healthz", Access::open, &Api::healthz},
      {"GET", "/readyz", Access::open, &Api::readyz},
      {"GET", "/v1/version", Access::keyed, &Api::version},
      {"GET", "/v1/status", Access::keyed, &Api::status},
      {"GET", "/v1/doctor", Access::keyed, &Api::doctor},
      {"GET", "/v1/doctor/storage", Access::keyed, &Api::doctor_storage},
      {"GET", "/v1/openapi.json", Access::keyed, &Api::openapi},
      {"POST", "/v1/server/shutdown", Access::keyed, &Api::shutdown},
      {"GET", "/v1/encryption", Access::keyed, &Api::encryption},
      {"POST", "/v1/encryption/rotate", Access::root, &Api::rotate_encryption},
      {"POST", "/v1/validate", Access::keyed, &Api::validate},
      {"POST", "/v1/plan", Access::keyed, &Api::plan},
      {"POST", "/v1/workdirs", Access::keyed, &Api::put_workdir},
      {"HEAD", "/v1/workdirs/{digest}", Access::keyed, &Api::head_workdir},
      {"GET", "/v1/agents", Access::keyed, &Api::list_agents},
      {"PUT", "/v1/agents/{name}", Access::keyed, &Api::put_agent},
      {"GET", "/v1/agents/{name}", Access::keyed, &Api::get_agent},
      {"DELETE", "/v1/agents/{name}", Access::keyed, &Api::delete_agent},
      {"POST", "/v1/agents/{name}/start", Access::keyed, &Api::apply_verb},
      {"POST", "/v1/agents/{name}/stop", Access::keyed, &Api::apply_verb},
      {"POST", "/v1/agents/{name}/restart", Access::keyed, &Api::apply_verb},
      {"POST", "/v1/agents/{name}/pause", Access::keyed, &Api::apply_verb},
      {"POST", "/v1/agents/{name}/resume", Access::keyed, &Api::apply_verb},
      {"POST", "/v1/agents/{name}/scale", Access::keyed, &Api::scale_agent},
      {"GET", "/v1/agents/{name}/health", Access::keyed, &Api::agent_health},
      {"POST", "/v1/agents/{name}/exec", Access::keyed, &Api::exec_agent},
      {"GET", "/v1/agents/{name}/stats", Access::keyed, &Api::agent_stats},
      {"GET", "/v1/agents/{name}/logs", Access::keyed, &Api::agent_logs},
      {"GET", "/v1/logs", Access::keyed, &Api::all_logs},
      {"GET", "/v1/events", Access::keyed, &Api::list_events},
      {"GET", "/v1/stats", Access::keyed, &Api::all_stats},
      {"GET", "/v1/quotas", Access::keyed, &Api::list_quotas},
      {"PUT", "/v1/quotas", Access::root, &Api::change_quotas},
      {"PATCH", "/v1/quotas", Access::root, &Api::change_quotas},
      {"GET", "/v1/requests", Access::keyed, &Api::list_requests},
      {"GET", "/v1/requests/export", Access::keyed, &Api::export_requests},
      {"POST", "/v1/requests/requeue", Access::keyed, &Api::requeue_requests},
      {"POST", "/v1/requests/purge", Access::keyed, &Api::purge_requests},
      {"GET", "/v1/requests/{id}", Access::keyed, &Api::get_request},
      {"GET", "/v1/requests/{id}/response", Access::keyed, &Api::get_response},
      {"POST", "/v1/requests/{id}/replay", Access::keyed, &Api::replay_request},
      {"POST", "/v1/requests/{id}/cancel", Access::keyed, &Api::cancel_request},
      {"POST", "/v1/requests/{id}/requeue", Access::keyed, &Api::requeue_request},
      {"DELETE", "/v1/requests/{id}", Access::keyed, &Api::purge_request},
      {"GET", "/v1/audit", Access::keyed, &Api::list_audit},
      {"GET", "/v1/webhooks", Access::keyed, &Api::list_webhooks},
      {"POST", "/v1/webhooks", Access::keyed, &Api::make_webhook},
      {"GET", "/v1/webhooks/{name}", Access::keyed, &Api::get_webhook},
      {"PATCH", "/v1/webhooks/{name}", Access::keyed, &Api::change_webhook},
      {"DELETE", "/v1/webhooks/{name}", Access::keyed, &Api::delete_webhook},
      {"POST", "/v1/webhooks/{name}/rotate", Access::keyed, &Api::rotate_webhook},
      {"POST", "/v1/webhooks/{name}/test", Access::keyed, &Api::test_webhook},
      {"GET", "/v1/webhooks/{name}/deliveries", Access::keyed, &Api::list_deliveries},
      {"POST", "/v1/webhooks/{name}/deliveries/{id}/replay", Access::keyed, &Api::replay_delivery},
  };
  return all;
}

// `Gantry-Key` wins, so that a caller can send an Authorization of its own to the agent.
Result<Api::Caller> Api::authenticate(net::Headers headers) const {
  Caller caller;
  std::string_view token;
  if (auto key = headers.find("gantry-key")) {
    token = *key;
  } else if (auto value = headers.find("authorization");
             value && value->size() > 7 && equals_ignoring_case(value->substr(0, 7), "bearer ")) {
    token = trim(value->substr(7));
    caller.authorization = proxy::Call::Authorization::of_gantry;
  } else {
    return std::unexpected(
        Error(ErrorId::GR0901, "the request carries no key")
            .with_hint(
                "send Authorization: Bearer KEY (or Gantry-Key: KEY); gantry up names the file of the root key"));
  }
  GANTRY_TRY(auto principal, server_.identity().authenticate(token));
  caller.principal = principal->name;
  caller.kind = principal->kind;
  caller.scope = principal->scope;
  return caller;
}

Task<void> Api::handle(net::Exchange& exchange) {
  const net::RequestHead& head = exchange.request();
  if (head.path.starts_with(proxy_prefix)) {
    co_await handle_proxy(exchange);
    co_return;
  }
  std::vector<std::string_view> path = segments_of(head.path);
  // A path that is written out, such as /v1/requests/export, is never the id of something.
  const bool written_out =
      std::ranges::any_of(routes(), [&](const Route& route) { return route.pattern == head.path; });
  std::string allowed;
  for (const Route& route : routes()) {
    if (written_out && route.pattern != head.path) continue;
    auto parameters = match(route.pattern, path);
    if (!parameters) continue;
    // HEAD is answered where GET is (RFC 9110 9.3.2); the body is left out by the server.
    if (route.method != head.method && !(head.method == "HEAD" && route.method == "GET")) {
      allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", route.method);
      continue;
    }
    co_await handle_route(exchange, route, {parameters->begin(), parameters->end()});
    co_return;
  }
  if (allowed.empty()) {
    co_await refuse(exchange, Error(Code::not_found, fmt::format("there is nothing at {}", head.path.substr(0, 200)))
                                  .with_hint("GET /v1/openapi.json lists every path; agents are below /agent/NAME/"));
    co_return;
  }
  co_await refuse_method(exchange, std::move(allowed));
}

// The path is known, the method is not: 405 with Allow (RFC 9110 15.5.6), where `unsupported` elsewhere means 501.
Task<void> Api::refuse_method(net::Exchange& exchange, std::string allowed) {
  const net::RequestHead& head = exchange.request();
  Error error(Code::unsupported,
              fmt::format("{} is not possible at {}", head.method.substr(0, 32), head.path.substr(0, 200)));
  const std::string id = server_.requests().make_id().to_string();
  auto problem = json::parse(net::problem_json(error.with_hint("possible here: " + allowed), id));
  GANTRY_CHECK(problem.has_value() && problem->is_object());
  problem->get_object()["status"] = 405;
  problem->get_object()["title"] = "Method Not Allowed";
  co_await exchange.respond(
      405, {{"Content-Type", "application/problem+json"}, {"Allow", allowed}, {"Gantry-Request-Id", id}},
      json::serialize(*problem));
}

// The hot path: one look at the route, one at the key, and on to the proxy.
Task<void> Api::handle_proxy(net::Exchange& exchange) {
  const net::RequestHead& head = exchange.request();
  std::string_view rest = head.path.substr(proxy_prefix.size());
  size_t slash = std::min(rest.find('/'), rest.size());
  proxy::Call call;
  call.agent = rest.substr(0, slash);
  call.target = slash == rest.size() ? "/" : std::string(rest.substr(slash));
  if (head.target.size() > head.path.size()) call.target += head.target.substr(head.path.size());
  call.scope = server_.scope();
  auto caller = authenticate(head.headers);
  if (caller) {
    call.scope = caller->scope;
    call.principal = std::move(caller->principal);
    call.authorization = caller->authorization;
  } else {
    auto route = server_.agents().find(call.scope, call.agent);
    if (!route || route->spec()->exposure != core::Exposure::public_path) {
      co_await refuse(exchange, caller.error());
      co_return;
    }
    call.principal = proxy::Call::anonymous;
  }
  co_await server_.proxy().handle(exchange, std::move(call));
}

Task<void> Api::handle_route(net::Exchange& exchange, const Route& route, std::vector<std::string> parameters) {
  Context context{.exchange = exchange,
                  .principal = std::string(proxy::Call::anonymous),
                  .scope = server_.scope(),
                  .parameters = {},
                  .query = {}};
  if (route.access != Access::open) {
    auto caller = authenticate(exchange.request().headers);
    if (!caller) {
      co_await refuse(exchange, caller.error());
      co_return;
    }
    if (route.access == Access::root && caller->kind != identity::PrincipalKind::root) {
      co_await refuse(exchange, Error(Code::denied, fmt::format("the key '{}' is not a root key", caller->principal))
                                    .with_hint("only root keys may do this; gantry up names the file of one"));
      co_return;
    }
    context.principal = std::move(caller->principal);
    context.scope = std::move(caller->scope);
  }
  std::optional<Error> wrong;
  for (const std::string& parameter : parameters) {
    auto decoded = percent_decode(parameter);
    if (decoded)
      context.parameters.push_back(std::move(*decoded));
    else
      wrong = decoded.error();
  }
  auto query = parse_query(exchange.request().query);
  if (query)
    context.query = std::move(*query);
  else
    wrong = query.error();
  if (wrong) {
    co_await refuse(exchange, std::move(*wrong));
    co_return;
  }
  if (auto checked = co_await check_input(context, route); !checked) {
    co_await refuse(exchange, checked.error());
    co_return;
  }
  Handled handled = co_await (this->*route.handler)(context);
  if (!handled)
    co_await refuse(exchange, handled.error());
  else if (*handled)
    co_await answer(exchange, std::move(**handled));
}

Task<Result<void>> Api::check_input(Context& context, const Route& route) {
  const Operation* operation = operations_.find(route.method, route.pattern);
  if (operation == nullptr) co_return Result<void>{};
  GANTRY_CO_TRY_VOID(check_query(*operation, context.query));
  if (operation->takes_body || context.exchange.body_complete()) co_return Result<void>{};
  GANTRY_CO_TRY(std::string body, co_await context.exchange.read_all(most_ignored_body));
  co_return check_no_body(body);
}

Task<Result<void>> Api::refuse(net::Exchange& exchange, Error error, std::string members) {
  std::string id = server_.requests().make_id().to_string();
  if (net::status_of(error) >= 500)
    server_.log().warn("request not served", telemetry::field("request_id", id),
                       telemetry::field("method", exchange.request().method),
                       telemetry::field("path", exchange.request().path), telemetry::field("error", error));
  co_return co_await net::respond_error(exchange, std::move(error), std::move(id), std::move(members));
}

Task<Result<void>> Api::answer(net::Exchange& exchange, Reply reply) {
  std::vector<net::Header> headers{{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  for (const auto& [name, value] : reply.headers) headers.push_back({name, value});
  std::string body = json::serialize(reply.body) + "\n";
  co_return co_await exchange.respond(reply.status, headers, body);
}

}  // namespace gantry::server
