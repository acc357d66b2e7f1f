#include "base/scope.h"

#include "base/text.h"

namespace gantry {

Result<Scope> Scope::parse(std::string_view path) {
  size_t first = path.find('/');
  size_t second = first == path.npos ? first : path.find('/', first + 1);
  if (second != path.npos) {
    Scope scope{std::string(path.substr(0, first)), std::string(path.substr(first + 1, second - first - 1)),
                std::string(path.substr(second + 1))};
    if (is_name(scope.tenant) && is_name(scope.domain) && is_name(scope.environment)) return scope;
  }
  return fail(Code::invalid, "'{}' is not a scope of the form tenant/domain/environment", path.substr(0, 200));
}

}  // namespace gantry
