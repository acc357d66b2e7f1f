#include "core/substitution.h"

#include <algorithm>

#include "core/fields.h"

namespace gantry::core {
namespace {

// What all substitutions of a source may produce together.
constexpr size_t max_produced = 4 * max_source_size.count;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

bool is_variable_name(std::string_view text) {
  if (text.empty() || !is_letter(text[0])) return false;
  return std::ranges::all_of(text, [](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

void Substitution::report(Rule rule, const yaml::Node& scalar, std::string message, std::string help) {
  failed_.insert(&scalar);
  diagnostics_.push_back({.rule = rule,
                          .message = std::move(message),
                          .file = file_,
                          .span = scalar.span,
                          .field = "",
                          .help = std::move(help)});
}

void Substitution::apply(yaml::Node& root) {
  if (!environment_) return;
  if (root.kind == yaml::Kind::scalar) apply_to_scalar(root);
  for (yaml::Node& item : root.items) apply(item);
  for (yaml::Entry& entry : root.entries) apply(entry.value);
}

// The value of the reference at the start of `text`, which begins with `${`; its end is the first `}`.
std::optional<std::string> Substitution::reference(const yaml::Node& scalar, std::string_view text) {
  size_t end = text.find('}');
  std::string_view inside = text.substr(2, end == text.npos ? end : end - 2);
  size_t mark = inside.find(":-");
  std::string_view name = inside.substr(0, mark);
  if (end == text.npos || !is_variable_name(name)) {
    std::string_view cause = end == text.npos ? "is never closed" : "is no substitution";
    report(Rule::GS0402, scalar, fmt::format("`{}` {}", clip(text.substr(0, end == text.npos ? end : end + 1)), cause),
           text.starts_with("${{") ? "expressions `${{ … }}` belong to flows; write `$${{` for the text itself"
                                   : "write `${NAME}` or `${NAME:-default}`, or `$$` for a dollar sign");
    return std::nullopt;
  }
  std::optional<std::string> value = environment_(name);
  // As in a shell, `:-` also replaces an empty value.
  if (mark != inside.npos) return value && !value->empty() ? *value : std::string(inside.substr(mark + 2));
  if (!value)
    report(Rule::GS0401, scalar, fmt::format("the environment variable `{}` is not set", name),
           fmt::format("set it, or give a default: `${{{}:-default}}`", name));
  return value;
}

// One pass from left to right; what is put in is not looked at again.
void Substitution::apply_to_scalar(yaml::Node& scalar) {
  std::string_view rest = scalar.text;
  std::string out;
  bool changed = false, referred = false;
  for (size_t at = rest.find('$'); at != rest.npos; at = rest.find('$')) {
    out += rest.substr(0, at);
    rest.remove_prefix(at);
    if (rest.starts_with("$$")) {
      out += '$';
      rest.remove_prefix(2);
      changed = true;
    } else if (rest.starts_with("${")) {
      auto value = reference(scalar, rest);
      if (!value) return;
      out += *value;
      rest.remove_prefix(rest.find('}') + 1);
      changed = referred = true;
    } else {
      out += '$';
      rest.remove_prefix(1);
    }
  }
  if (!changed) return;
  out += rest;
  if (produced_ <= max_produced && (produced_ += out.size()) > max_produced)
    report(Rule::GS0102, scalar, fmt::format("substitutions produce more than {} bytes", max_produced),
           "put large values into a file of the workdir");
  if (produced_ > max_produced) {
    failed_.insert(&scalar);
    return;
  }
  if (referred) written_.emplace(&scalar, std::move(scalar.text));
  scalar.text = std::move(out);
  changed_.insert(&scalar);
}

}  // namespace gantry::core
