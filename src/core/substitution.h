// Environment substitution in the scalars of a parsed tree; never in raw text, so that a value can add
// no structure.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/core.h"

namespace gantry::core {

/// Replaces `${NAME}`, `${NAME:-default}` and `$$` in the scalar values below a root, once. Mistakes
/// are added to `diagnostics` (GS0401, GS0402, GS0102) and leave the scalar as it is. Remembers nodes
/// by address, so the trees must stay where they are.
class Substitution {
 public:
  Substitution(const Environment& environment, std::string file, std::vector<Diagnostic>& diagnostics)
      : environment_(environment), file_(std::move(file)), diagnostics_(diagnostics) {}

  void apply(yaml::Node& root);
  /// True for a scalar that got another text.
  bool changed(const yaml::Node& node) const { return changed_.contains(&node); }
  /// The text of a scalar as it was written, if it had a reference; nullptr otherwise.
  const std::string* written(const yaml::Node& node) const {
    auto found = written_.find(&node);
    return found == written_.end() ? nullptr : &found->second;
  }
  /// True for a scalar whose mistake was reported.
  bool failed(const yaml::Node& node) const { return failed_.contains(&node); }

 private:
  void apply_to_scalar(yaml::Node& scalar);
  std::optional<std::string> reference(const yaml::Node& scalar, std::string_view text);
  void report(Rule rule, const yaml::Node& scalar, std::string message, std::string help);

  const Environment& environment_;
  std::string file_;
  std::vector<Diagnostic>& diagnostics_;
  std::unordered_set<const yaml::Node*> changed_;
  std::unordered_set<const yaml::Node*> failed_;
  std::unordered_map<const yaml::Node*, std::string> written_;
  size_t produced_ = 0;  // bytes, of all scalars
};

/// True for a name of an environment variable: letters, digits and `_`, no digit first.
bool is_variable_name(std::string_view text);

}  // namespace gantry::core
