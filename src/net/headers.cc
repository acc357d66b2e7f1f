#include "net/headers.h"

#include <algorithm>

#include "net/ascii.h"

namespace gantry::net {
std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const Header& header : *this)
    if (header.name.size() == name.size() && equals_ignoring_case(header.name, name)) return header.value;
  return std::nullopt;
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Header& header : *this)
    if (equals_ignoring_case(header.name, name)) values.push_back(header.value);
  return values;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const Header& header : *this) {
    if (!equals_ignoring_case(header.name, name)) continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      size_t comma = rest.find(',');
      if (equals_ignoring_case(trim(rest.substr(0, comma)), token)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

HeaderList::HeaderList(Headers headers) {
  items_.reserve(headers.size());
  for (const Header& header : headers) add(header.name, header.value);
}

HeaderList& HeaderList::operator=(const HeaderList& other) {
  if (this != &other) *this = HeaderList(other);
  return *this;
}

void HeaderList::add(std::string_view name, std::string_view value) {
  std::string& text = texts_.emplace_back();
  text.reserve(name.size() + value.size());
  text.append(name).append(value);
  std::string_view whole = text;
  items_.push_back({whole.substr(0, name.size()), whole.substr(name.size())});
}

void HeaderList::set(std::string_view name, std::string_view value) {
  // A copy first: the arguments may be views of what is removed.
  HeaderList kept;
  for (const Header& header : items_)
    if (!equals_ignoring_case(header.name, name)) kept.add(header.name, header.value);
  kept.add(name, value);
  *this = std::move(kept);
}

void HeaderList::remove(std::string_view name) {
  std::erase_if(items_, [&](const Header& header) { return equals_ignoring_case(header.name, name); });
}

void HeaderList::clear() {
  items_.clear();
  texts_.clear();
}

bool is_valid_header(const Header& header) {
  return !header.name.empty() && token_length(header.name) == header.name.size() && is_field_text(header.value);
}

}  // namespace gantry::net
