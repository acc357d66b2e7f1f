// Which requests a filter means. Pure.
#include <algorithm>

#include "requests/requests.h"

namespace gantry::requests {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool holds(std::string_view text, std::string_view part) {
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

// `*` is any run of characters, `?` any one. Goes back to the latest `*` only, so the time is bounded by the product.
bool fits_pattern(std::string_view text, std::string_view pattern) {
  size_t at = 0, in_pattern = 0, star = std::string_view::npos, from = 0;
  while (at < text.size()) {
    if (in_pattern < pattern.size() && (pattern[in_pattern] == '?' || pattern[in_pattern] == text[at]) &&
        pattern[in_pattern] != '*') {
      ++at;
      ++in_pattern;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
      star = in_pattern++;
      from = at;
    } else if (star != std::string_view::npos) {
      in_pattern = star + 1;
      at = ++from;
    } else {
      return false;
    }
  }
  while (in_pattern < pattern.size() && pattern[in_pattern] == '*') ++in_pattern;
  return in_pattern == pattern.size();
}

bool fits_path(std::string_view target, std::string_view path) {
  if (path.find_first_of("*?") == path.npos) return target.starts_with(path);
  return fits_pattern(target.substr(0, target.find('?')), path);
}

bool fits_text(const Traits& traits, std::string_view text) {
  return holds(traits.target, text) || holds(traits.reason, text) || holds(traits.key, text) ||
         holds(traits.id.to_string(), text);
}

}  // namespace

bool matches(const Filter& filter, const Traits& traits) {
  if (!filter.agent.empty() && filter.agent != traits.agent) return false;
  if (filter.agent.empty() && filter.queues == Filter::Queues::of_agents && !is_agent_queue(traits.agent)) return false;
  if (filter.status && *filter.status != traits.status) return false;
  if (filter.created_before != Time{} && traits.created_at >= filter.created_before) return false;
  if (filter.created_after != Time{} && traits.created_at < filter.created_after) return false;
  if (!filter.key.empty() && filter.key != traits.key) return false;
  if (!filter.path.empty() && !fits_path(traits.target, filter.path)) return false;
  if (!filter.reason.empty() && !holds(traits.reason, filter.reason)) return false;
  return filter.text.empty() || fits_text(traits, filter.text);
}

}  // namespace gantry::requests
