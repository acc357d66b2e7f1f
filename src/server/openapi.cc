#include "server/openapi.h"

#include "yaml/yaml.h"

namespace gantry::server {

extern const std::string_view openapi_yaml;  // made by CMake from api/openapi.yaml

namespace {

json::Value to_json(const yaml::Node& node) {
  switch (node.kind) {
    case yaml::Kind::null:
      return nullptr;
    case yaml::Kind::scalar:
      if (auto flag = node.as_bool()) return *flag;
      if (auto number = node.as_int()) return *number;
      if (auto number = node.as_number()) return *number;
      return json::Value(node.text);
    case yaml::Kind::list: {
      json::Array list;
      for (const yaml::Node& item : node.items) list.push_back(to_json(item));
      return list;
    }
    case yaml::Kind::map: {
      json::Object object;
      for (const yaml::Entry& entry : node.entries) object.emplace(entry.key, to_json(entry.value));
      return object;
    }
  }
  return nullptr;
}

}  // namespace

Result<json::Value> openapi_document() {
  yaml::Parsed parsed = yaml::parse(openapi_yaml);
  if (!parsed.problems.empty() || parsed.documents.size() != 1)
    return fail(Code::internal, "the OpenAPI document does not parse: {}",
                parsed.problems.empty() ? "not one document" : parsed.problems.front().message);
  return to_json(parsed.documents.front());
}

}  // namespace gantry::server
