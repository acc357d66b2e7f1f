#include "cli/api_client.h"

#include <filesystem>

#include "os/os.h"

namespace gantry::cli {
namespace {

constexpr Bytes small_file = kibibytes(64);

Error unreachable(std::string reason, std::string_view hint = "gantry up --detach") {
  return Error(ErrorId::GR0002, std::move(reason)).with_hint(hint);
}

std::string first_line(std::string text) {
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  return text;
}

/// The address that a running server wrote into its data directory.
Result<std::string> url_of_data(const std::filesystem::path& data) {
  auto text = os::read_file(data / "server.json", small_file);
  if (!text) {
    if (text.error().code() == Code::not_found)
      return std::unexpected(unreachable(fmt::format("no server runs with the data directory {}", data.string())));
    return std::unexpected(std::move(text).error());
  }
  GANTRY_TRY(json::Value value, json::parse(*text));
  return json::get_string(value, "url");
}

/// The server's diagnostics, one line each: the same spec was checked here before it was sent, so they
/// only appear when versions differ.
std::string with_diagnostics(std::string reason, const json::Value& problem) {
  const json::Value* list = json::find(problem, "diagnostics");
  if (list == nullptr || !list->is_array()) return reason;
  for (const auto& item : list->get_array()) {
    reason += fmt::format("\n  {}: {}", json::get_string_or(item, "code", "").value_or(""),
                          json::get_string_or(item, "message", "").value_or(""));
  }
  return reason;
}

Code code_of_status(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return Code::invalid;
    case 401:
      return Code::unauthenticated;
    case 403:
      return Code::denied;
    case 404:
      return Code::not_found;
    case 409:
    case 412:
      return Code::conflict;
    case 429:
      return Code::exhausted;
    case 501:
      return Code::unsupported;
    case 502:
    case 503:
      return Code::unavailable;
    case 408:
    case 504:
      return Code::timeout;
    default:
      return Code::internal;
  }
}

bool next_cursor(const json::Value& page, std::string& cursor) {
  const json::Value* next = json::find(page, "next");
  if (next == nullptr || !next->is_string()) return false;
  cursor = std::string(next->get_string());
  return true;
}

}  // namespace

Result<ServerAddress> find_server(const config::Config& config) {
  const std::filesystem::path data = config.text("data");
  ServerAddress address{config.text("url"), config.secret("key")};
  if (address.url.empty()) {
    GANTRY_TRY(address.url, url_of_data(data));
  }
  if (address.key.empty()) {
    // A foreign server does not have its key here; it will say so itself.
    if (auto key = os::read_file(data / "root.key", small_file)) address.key = telemetry::Secret(first_line(*key));
  }
  while (address.url.ends_with('/')) address.url.pop_back();
  return address;
}

Result<net::OutgoingRequest> ApiClient::prepare(std::string_view method, std::string_view target) const {
  net::OutgoingRequest request;
  request.method = method;
  auto url = net::Url::parse(address_.url + std::string(target));
  if (!url) return std::unexpected(std::move(url).error().wrap(fmt::format("server address '{}'", address_.url)));
  request.url = std::move(*url);
  if (!address_.key.empty()) request.headers.add("authorization", "Bearer " + address_.key.reveal());
  request.timeout = call_timeout;
  return request;
}

Result<net::OutgoingRequest> ApiClient::prepare_for_agent(std::string_view method, std::string_view target) const {
  GANTRY_TRY(auto request, prepare(method, target));
  request.headers.remove("authorization");
  if (!address_.key.empty()) request.headers.add("gantry-key", address_.key.reveal());
  return request;
}

Result<net::IncomingResponse> ApiClient::exchange(net::OutgoingRequest request, net::HttpClient::Streams streams) {
  auto answer = http_.request_blocking(std::move(request), std::move(streams));
  if (!answer && answer.error().code() == Code::unavailable)
    return std::unexpected(unreachable(fmt::format("server at {}: {}", address_.url, answer.error().reason())));
  return answer;
}

Result<ExecEnd> ApiClient::exec(net::OutgoingRequest request, ExecCall call) {
  auto end = call_exec(http_, std::move(request), std::move(call));
  if (!end && end.error().id() == ErrorId::GR0608)
    return std::unexpected(unreachable(fmt::format("server at {}: {}", address_.url, end.error().reason())));
  return end;
}

Result<json::Value> ApiClient::call(net::OutgoingRequest request) {
  GANTRY_TRY(auto answer, exchange(std::move(request)));
  if (answer.status >= 400) return std::unexpected(error_of(answer));
  if (answer.body.empty()) return json::Value(json::Object());
  auto value = json::parse(answer.body);
  if (value) return value;
  return std::unexpected(Error(ErrorId::GR0803, fmt::format("{} answered {} with a body that is not JSON: {}",
                                                            address_.url, answer.status, value.error().reason()))
                             .with_hint("gantry version"));
}

Result<json::Value> ApiClient::get(std::string_view target) {
  GANTRY_TRY(auto request, prepare("GET", target));
  return call(std::move(request));
}

Result<json::Value> ApiClient::post(std::string_view target, const std::optional<json::Value>& body,
                                    std::optional<Duration> timeout) {
  GANTRY_TRY(auto request, prepare("POST", target));
  if (body) {
    request.headers.add("content-type", "application/json");
    request.body = json::serialize(*body);
  }
  if (timeout) request.timeout = *timeout;
  return call(std::move(request));
}

Result<json::Value> ApiClient::put(std::string_view target, const json::Value& body) {
  GANTRY_TRY(auto request, prepare("PUT", target));
  request.headers.add("content-type", "application/json");
  request.body = json::serialize(body);
  return call(std::move(request));
}

Result<json::Value> ApiClient::patch(std::string_view target, const json::Value& body) {
  GANTRY_TRY(auto request, prepare("PATCH", target));
  request.headers.add("content-type", "application/json");
  request.body = json::serialize(body);
  return call(std::move(request));
}

Result<json::Value> ApiClient::remove(std::string_view target) {
  GANTRY_TRY(auto request, prepare("DELETE", target));
  return call(std::move(request));
}

Result<json::Array> ApiClient::list(std::string_view target, uint64_t limit) {
  constexpr uint64_t page_size = 1000;
  json::Array rows;
  std::string cursor;
  while (rows.size() < limit) {
    std::string page_target =
        fmt::format("{}{}limit={}", target, target.contains('?') ? '&' : '?', std::min(page_size, limit - rows.size()));
    if (!cursor.empty()) page_target += "&after=" + percent_encode(cursor);
    GANTRY_TRY(json::Value page, get(page_target));
    auto data = json::get_array(page, "data");
    if (!data) return std::unexpected(Error(ErrorId::GR0803, data.error().reason()).with_hint("gantry version"));
    for (const auto& row : **data) rows.push_back(row);
    if (!next_cursor(page, cursor)) break;
  }
  if (rows.size() > limit) rows.resize(limit);
  return rows;
}

Error error_of(const net::IncomingResponse& answer) {
  auto parsed = json::parse(answer.body);
  if (!parsed || !parsed->is_object()) {
    std::string said = answer.body.size() <= 200 ? answer.body : answer.body.substr(0, 200) + "…";
    return Error(code_of_status(answer.status), fmt::format("the server answered {}: {}", answer.status, said));
  }
  const json::Value& problem = *parsed;
  auto text = [&](std::string_view name) { return json::get_string_or(problem, name, "").value_or(""); };
  std::string reason = text("message");
  if (reason.empty()) reason = text("detail");
  if (reason.empty()) reason = fmt::format("the server answered {} {}", answer.status, text("title"));
  reason = with_diagnostics(std::move(reason), problem);
  Code code = text("code").empty() ? code_of_status(answer.status) : code_from_string(text("code"));
  ErrorId id = error_id_from_string(text("id"));
  Error error =
      id != ErrorId::none && code_of(id) == code ? Error(id, std::move(reason)) : Error(code, std::move(reason));
  return std::move(error).with_hint(text("hint"));
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("-._~").contains(c);
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace gantry::cli
