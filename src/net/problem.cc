#include "net/problem.h"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "net/message.h"

namespace gantry::net {
namespace {

void add_member(std::string& out, std::string_view name, std::string_view text) {
  out.append(out.size() > 1 ? ",\"" : "\"").append(name).append("\":");
  out.append(boost::json::serialize(boost::json::string_view(text.data(), text.size())));
}

}  // namespace

int status_of(const Error& error) {
  switch (error.id()) {
    case ErrorId::GR0407:
      return 422;
    case ErrorId::GR0603:
      return 431;
    case ErrorId::GR0604:
      return 413;
    case ErrorId::GR0605:
      return 408;
    case ErrorId::GR0606:
      return 502;
    case ErrorId::GR0607:
      return 414;
    default:
      return http_status(error.code());
  }
}

namespace {

// What is too large stays so: the same request again is refused again.
bool may_succeed_later(const Error& error) {
  const bool too_large =
      error.id() == ErrorId::GR0603 || error.id() == ErrorId::GR0604 || error.id() == ErrorId::GR0607;
  return is_retryable(error.code()) && !too_large;
}

}  // namespace

std::string problem_json(const Error& error, std::string_view request_id, std::string_view members) {
  bool has_id = error.id() != ErrorId::none;
  int status = status_of(error);
  std::string out = "{";
  add_member(out, "type", has_id ? fmt::format("urn:gantry:error:{}", to_string(error.id())) : "about:blank");
  add_member(out, "title", has_id ? title(error.id()) : reason_phrase(status));
  out += fmt::format(",\"status\":{}", status);
  add_member(out, "code", to_string(error.code()));
  add_member(out, "message", error.reason());
  add_member(out, "hint", error.advice());
  if (!request_id.empty()) add_member(out, "request_id", request_id);
  out += fmt::format(",\"retryable\":{}", may_succeed_later(error));
  if (has_id) add_member(out, "id", to_string(error.id()));
  if (!members.empty()) out.append(",").append(members);
  return out + "}";
}

Task<Result<void>> respond_error(Exchange& exchange, Error error, std::string request_id, std::string members) {
  if (exchange.started()) {
    exchange.abort();
    co_return fail(Code::cancelled, "an answer had begun: aborted because {}", error.reason());
  }
  int status = status_of(error);
  std::string body = problem_json(error, request_id, members);
  std::vector<Header> headers = {{"Content-Type", "application/problem+json"}};
  if (!request_id.empty()) headers.push_back({"Gantry-Request-Id", request_id});
  if (status == 503 || status == 429 || error.id() == ErrorId::GR0408) headers.push_back({"Retry-After", "1"});
  if (status == 401) headers.push_back({"WWW-Authenticate", "Bearer"});
  co_return co_await exchange.respond(status, headers, body);
}

}  // namespace gantry::net
