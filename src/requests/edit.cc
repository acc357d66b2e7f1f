#include "requests/edit.h"

#include <algorithm>

#include "crypto/crypto.h"
#include "requests/requests.h"

namespace gantry::requests {
namespace {

// The bounds of the ingress.
constexpr size_t most_fields = 200;
constexpr size_t longest_fields = size_t{64} << 10;
constexpr size_t longest_target = size_t{16} << 10;
constexpr size_t longest_method = 32;

std::unexpected<Error> wrong(std::string reason, std::string hint) {
  return std::unexpected(Error(ErrorId::GR0416, std::move(reason)).with_hint(std::move(hint)));
}

// What may stand in messages: short, and no control characters.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 64));
  std::ranges::replace_if(out, [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  return out;
}

// tchar of RFC 9110 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || others.contains(c);
  });
}

Result<void> check_name(std::string_view name) {
  if (!is_token(name))
    return wrong(fmt::format("headers: '{}' is not the name of a field", shown(name)), "names are like X-Order-Id");
  if (net::is_gantry_header(name) || net::is_hop_by_hop(name) || equals_ignoring_case(name, "content-length") ||
      equals_ignoring_case(name, "expect"))
    return wrong(fmt::format("headers: {} is set by Gantry itself", shown(name)), "leave it out");
  return {};
}

Result<void> check_fields(const Edit::Fields& fields) {
  for (const auto& [name, value] : fields) {
    GANTRY_TRY_VOID(check_name(name));
    if (std::ranges::any_of(value, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; }))
      return wrong(fmt::format("headers: the value of {} holds a control character", shown(name)),
                   "a value is one line");
    if (trim(value) != value)
      return wrong(fmt::format("headers: the value of {} begins or ends with a space", shown(name)), "leave it out");
  }
  return {};
}

Result<void> check_target(std::string_view target) {
  if (!target.starts_with('/'))
    return wrong(fmt::format("target: '{}' does not begin with a slash", shown(target)),
                 "a target is path and query, such as /ask?lang=en");
  if (target.size() > longest_target)
    return wrong(fmt::format("target: it has {} bytes", target.size()), fmt::format("at most {}", longest_target));
  if (std::ranges::any_of(target, [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '#'; }))
    return wrong(fmt::format("target: '{}' holds a space or another character that is not allowed", shown(target)),
                 "write it with percent escapes: %20 for a space");
  return {};
}

bool names(const std::vector<std::string>& list, std::string_view name) {
  return std::ranges::any_of(list, [&](const std::string& each) { return equals_ignoring_case(each, name); });
}

// The first of a name takes its place, the others of it go; what was not there comes last.
void set_fields(FieldList& list, const Edit::Fields& fields) {
  std::vector<std::string> set;
  for (const auto& [name, value] : fields) {
    auto found =
        std::ranges::find_if(list, [&](const net::Header& each) { return equals_ignoring_case(each.name, name); });
    if (names(set, name) || found == list.end()) {
      list.push_back({name, value});
    } else {
      *found = {name, value};
      list.erase(std::remove_if(found + 1, list.end(),
                                [&](const net::Header& each) { return equals_ignoring_case(each.name, name); }),
                 list.end());
    }
    set.push_back(name);
  }
}

json::Array names_of(const Edit::Fields& fields) {
  json::Array array;
  for (const auto& [name, value] : fields) array.push_back(json::Value(name));
  return array;
}

std::string digest_of(const Body& body) {
  return body.blob ? crypto::hex(*body.blob) : crypto::sha256_hex(body.inline_bytes);
}

}  // namespace

Result<void> check_edit(const Edit& edit) {
  if (edit.method && (!is_token(*edit.method) || edit.method->size() > longest_method))
    return wrong(fmt::format("method: '{}' is not a method", shown(*edit.method)), "such as POST or PUT");
  if (edit.method && *edit.method == "CONNECT") return wrong("method: CONNECT has no path", "such as POST or PUT");
  if (edit.target) GANTRY_TRY_VOID(check_target(*edit.target));
  if (edit.headers && (!edit.set.empty() || !edit.remove.empty()))
    return wrong("headers: either all of them, or `set` and `remove`", "leave one of the two out");
  if (edit.headers) GANTRY_TRY_VOID(check_fields(*edit.headers));
  GANTRY_TRY_VOID(check_fields(edit.set));
  for (const std::string& name : edit.remove) GANTRY_TRY_VOID(check_name(name));
  if (edit.body && edit.body->size() > longest_edited_body.count)
    return wrong(fmt::format("body: it has {}", format_bytes_short({edit.body->size()})),
                 fmt::format("at most {}; send a new request instead", format_bytes_short(longest_edited_body)));
  return {};
}

Result<AcceptedRecord> edited(AcceptedRecord record, const Edit& edit) {
  if (edit.method) record.method = *edit.method;
  if (edit.target) record.target = *edit.target;
  if (edit.headers) {
    record.headers.clear();
    for (const auto& [name, value] : *edit.headers) record.headers.push_back({name, value});
  }
  std::erase_if(record.headers, [&](const net::Header& each) { return names(edit.remove, each.name); });
  set_fields(record.headers, edit.set);
  size_t bytes = 0;
  for (const net::Header& field : record.headers) bytes += field.name.size() + field.value.size() + 4;
  if (record.headers.size() > most_fields || bytes > longest_fields)
    return wrong(fmt::format("headers: {} fields with {} bytes", record.headers.size(), bytes),
                 fmt::format("at most {} fields with {} bytes", most_fields, longest_fields));
  // An agent that was told of no body would not read the new one.
  if (edit.body && !edit.body->empty() && record.framing == net::Framing::Kind::none)
    record.framing = net::Framing::Kind::length;
  return record;
}

json::Object describe(const Edit& edit, const AcceptedRecord& before) {
  json::Object changed;
  if (edit.method) changed["method"] = json::Object{{"from", before.method}, {"to", *edit.method}};
  if (edit.target) changed["target"] = true;
  if (edit.headers) changed["headers"] = json::Object{{"all", names_of(*edit.headers)}};
  if (!edit.set.empty() || !edit.remove.empty()) {
    json::Array removed;
    for (const std::string& name : edit.remove) removed.push_back(json::Value(name));
    changed["headers"] = json::Object{{"set", names_of(edit.set)}, {"removed", std::move(removed)}};
  }
  if (edit.body)
    changed["body"] =
        json::Object{{"from_sha256", digest_of(before.body)}, {"to_sha256", crypto::sha256_hex(*edit.body)}};
  return changed;
}

}  // namespace gantry::requests
