// What each operation of the API takes, as the OpenAPI document says: what it does not name is refused and not ignored.
// Private to this folder.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::server {

/// One operation.
struct Operation {
  std::vector<std::string> query;  ///< the parameters that it reads
  bool takes_body = false;
};

/// All of them. A value; read it from any thread.
class Operations {
 public:
  /// Reads the document that is built into the program. Takes milliseconds.
  static Result<Operations> load();
  /// Of `GET` and `/v1/agents/{name}`; null if the document does not describe it.
  const Operation* find(std::string_view method, std::string_view pattern) const;

 private:
  std::map<std::string, Operation, std::less<>> all_;
};

/// `invalid` for the first of `names` that the operation does not know, with what was probably meant.
Result<> check_query(const Operation& operation, const std::vector<std::pair<std::string, std::string>>& query);
/// The same for a body that nobody reads: nothing and an empty object are fine.
Result<> check_no_body(std::string_view body);

}  // namespace gantry::server
