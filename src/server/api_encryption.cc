// Which keys the data is encrypted with, and new ones.
#include "server/api.h"

namespace gantry::server {
namespace {

constexpr uint64_t body_limit = 16 << 10;

json::Value to_json(const vault::Status& status) {
  if (!status.enabled) return json::Object{{"enabled", false}};
  json::Array scopes;
  for (const vault::ScopeKeys& keys : status.scopes)
    scopes.push_back(json::Object{{"scope", keys.scope.path()},
                                  {"data_keys", keys.count},
                                  {"newest", keys.newest},
                                  {"newest_since", format_time(keys.newest_since)}});
  return json::Object{{"enabled", true},
                      {"fingerprint", status.fingerprint},
                      {"generation", status.generation},
                      {"master_since", format_time(status.master_since)},
                      {"scopes", std::move(scopes)}};
}

/// `new_key_file` of the body, if there is one.
Result<std::optional<std::filesystem::path>> new_key_file_of(const std::string& text) {
  if (text.empty()) return std::optional<std::filesystem::path>();
  GANTRY_TRY(json::Value body, json::parse(text));
  if (!body.is_object()) return fail(Code::invalid, "the body is not an object");
  for (const auto& member : body.get_object())
    if (member.key() != "new_key_file") return fail(Code::invalid, "'{}' is not known here", std::string(member.key()));
  if (json::find(body, "new_key_file") == nullptr) return std::optional<std::filesystem::path>();
  GANTRY_TRY(std::filesystem::path file, json::get_string(body, "new_key_file"));
  if (!file.is_absolute()) return fail(Code::invalid, "new_key_file: '{}' is not an absolute path", file.string());
  return std::optional(std::move(file));
}

}  // namespace

Task<Api::Handled> Api::encryption(Context&) {
  GANTRY_CO_TRY(vault::Status status, co_await server_.blocking().run([this] { return server_.vault().status(); }));
  co_return Reply{.body = to_json(status)};
}

Task<Api::Handled> Api::rotate_encryption(Context& context) {
  GANTRY_CO_TRY(std::string text, co_await context.exchange.read_all(body_limit));
  GANTRY_CO_TRY(auto file, new_key_file_of(text));
  GANTRY_CO_TRY(vault::Rotated done, co_await server_.vault().rotate(std::move(file)));
  server_.log().info("encryption keys rotated", telemetry::field("principal", context.principal),
                     telemetry::field("new_master", done.new_master), telemetry::field("fingerprint", done.fingerprint),
                     telemetry::field("data_keys", done.made));
  co_return Reply{.body = json::Object{{"new_master", done.new_master},
                                       {"fingerprint", done.fingerprint},
                                       {"generation", done.generation},
                                       {"made", done.made},
                                       {"wrapped", done.wrapped}}};
}

}  // namespace gantry::server
