#include "cli/edit_form.h"

#include <fmt/format.h>

#include "cli/output.h"

namespace gantry::cli {
namespace {

// A body that can be edited as text: all of it, and text.
bool has_text_body(const json::Value& request) {
  const json::Value* body = json::find(request, "request.body");
  return body != nullptr && !bool_at(*body, "truncated") &&
         (json::find(*body, "text") != nullptr || int_at(*body, "bytes") == 0);
}

std::string body_text(const json::Value& request) { return text_at(request, "request.body.text"); }

std::string_view next_line(std::string_view& text) {
  size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::unexpected<Error> wrong(size_t number, std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0416, fmt::format("line {}: {}", number, why))
                             .with_hint("request line, headers as Name: value, an empty line, then the body"));
}

}  // namespace

std::string edit_form(const json::Value& request) {
  std::string out = fmt::format(
      "# {}: change what is wrong, save and close; it is sent out again then.\n"
      "# Without a change nothing happens. {}\n",
      text_at(request, "id"),
      has_text_body(request) ? "The body begins behind the empty line."
                             : "The body is binary or long and stays as it is: leave that part empty.");
  out += fmt::format("{} {}\n", text_at(request, "method"), text_at(request, "target"));
  for (const json::Value& header : array_at(request, "request.headers"))
    out += fmt::format("{}: {}\n", text_at(header, "0"), text_at(header, "1"));
  out += "\n";
  if (has_text_body(request)) out += body_text(request);
  return out;
}

Result<json::Object> read_edit_form(std::string_view text, const json::Value& request) {
  size_t number = 1;
  std::string_view line = next_line(text);
  while (line.starts_with('#') || (line.empty() && !text.empty())) {
    line = next_line(text);
    ++number;
  }
  size_t space = line.find(' ');
  if (space == line.npos) return wrong(number, "expected a method and a path, such as POST /ask");
  std::string method(line.substr(0, space)), target(trim(line.substr(space + 1)));
  json::Array headers;
  while (!text.empty()) {
    line = next_line(text);
    ++number;
    if (line.empty()) break;
    size_t colon = line.find(':');
    if (colon == line.npos || colon == 0) return wrong(number, "expected a header, such as Content-Type: text/plain");
    headers.push_back(json::Array{json::Value(line.substr(0, colon)), json::Value(trim(line.substr(colon + 1)))});
  }
  json::Object changed;
  if (method != text_at(request, "method")) changed["method"] = method;
  if (target != text_at(request, "target")) changed["target"] = target;
  if (headers != array_at(request, "request.headers")) changed["headers"] = std::move(headers);
  std::string before = body_text(request), after(text);
  // Editors end the last line.
  if (!before.ends_with('\n') && after.ends_with('\n')) after.pop_back();
  const bool text_body = has_text_body(request);
  if (text_body ? after != before : !after.empty()) changed["body"] = json::Object{{"text", after}};
  return changed;
}

}  // namespace gantry::cli
