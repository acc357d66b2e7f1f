// The scope of everything: tenant, domain, environment (SPEC section 2).
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gantry {

/// Who owns a thing. Every table, record and call carries one; there is no code path without it.
struct Scope {
  std::string tenant;
  std::string domain;
  std::string environment;

  /// `default/default/dev`: the one scope that exists until tenants are created.
  static Scope standard() { return {"default", "default", "dev"}; }
  /// Parses `tenant/domain/environment`, each a name.
  static Result<Scope> parse(std::string_view path);
  std::string path() const { return tenant + "/" + domain + "/" + environment; }

  friend auto operator<=>(const Scope&, const Scope&) = default;
};

}  // namespace gantry
