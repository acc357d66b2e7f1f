#include "server/operations.h"

#include <algorithm>

#include "json/json.h"
#include "server/openapi.h"

namespace gantry::server {
namespace {

// A parameter, or what `$ref: "#/components/parameters/NAME"` refers to.
const json::Value* resolve(const json::Value& document, const json::Value& parameter) {
  auto reference = json::get_string_or(parameter, "$ref", "").value_or("");
  if (reference.empty()) return &parameter;
  constexpr std::string_view prefix = "#/components/parameters/";
  if (!reference.starts_with(prefix)) return nullptr;
  return json::find(document, "components.parameters." + reference.substr(prefix.size()));
}

void add_parameters(const json::Value& document, const json::Value& owner, Operation& operation) {
  const json::Value* list = json::find(owner, "parameters");
  if (list == nullptr || !list->is_array()) return;
  for (const json::Value& item : list->get_array()) {
    const json::Value* parameter = resolve(document, item);
    if (parameter == nullptr || json::get_string_or(*parameter, "in", "").value_or("") != "query") continue;
    operation.query.push_back(json::get_string_or(*parameter, "name", "").value_or(""));
  }
}

}  // namespace

Result<Operations> Operations::load() {
  GANTRY_TRY(const json::Value document, openapi_document());
  GANTRY_TRY(const json::Object* paths, json::get_object(document, "paths"));
  Operations operations;
  for (const auto& path : *paths) {
    if (!path.value().is_object()) continue;
    for (const auto& member : path.value().get_object()) {
      if (!member.value().is_object()) continue;
      Operation operation;
      add_parameters(document, path.value(), operation);
      add_parameters(document, member.value(), operation);
      operation.takes_body = json::find(member.value(), "requestBody") != nullptr;
      operations.all_.emplace(fmt::format("{} {}", to_upper(member.key()), std::string_view(path.key())),
                              std::move(operation));
    }
  }
  return operations;
}

const Operation* Operations::find(std::string_view method, std::string_view pattern) const {
  auto found = all_.find(fmt::format("{} {}", method, pattern));
  return found == all_.end() ? nullptr : &found->second;
}

Result<> check_query(const Operation& operation, const std::vector<std::pair<std::string, std::string>>& query) {
  for (const auto& [name, value] : query) {
    if (std::ranges::find(operation.query, name) != operation.query.end()) continue;
    Error error(Code::invalid, fmt::format("{}: there is no such parameter", name.substr(0, 64)));
    const std::vector<std::string_view> known(operation.query.begin(), operation.query.end());
    if (known.empty()) return std::unexpected(std::move(error).with_hint("this path takes no parameters"));
    auto near = closest(name, known);
    return std::unexpected(std::move(error).with_hint(near ? fmt::format("did you mean `{}`?", *near)
                                                           : fmt::format("possible: {}", fmt::join(known, ", "))));
  }
  return {};
}

Result<> check_no_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == body.npos) return {};
  const std::string hint = "send it without a body";
  auto value = json::parse(body);
  if (!value) return std::unexpected(std::move(value).error().wrap("the body").with_hint(hint));
  if (value->is_null() || (value->is_object() && value->get_object().empty())) return {};
  return std::unexpected(Error(Code::invalid, "this path takes no body").with_hint(hint));
}

}  // namespace gantry::server
