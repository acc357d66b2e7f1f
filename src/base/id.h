// Strong ids: `<prefix>_<26 chars Crockford base32 of a UUIDv7>` (SPEC section 2, RFC 9562).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace gantry {

using IdBytes = std::array<uint8_t, 16>;

/// A UUIDv7: 48 bits of Unix milliseconds, 74 random bits, version and variant (RFC 9562 5.7).
IdBytes make_uuid7(Time now, Random& random);
/// 26 characters of Crockford base32, upper case, most significant first: sorts like the bytes.
std::string encode_id(const IdBytes& bytes);
/// The inverse; accepts lower case. nullopt if it is not 26 valid characters within 128 bits.
std::optional<IdBytes> decode_id(std::string_view text);

/// An id of one kind of thing; `Tag::prefix` is its prefix. Ids sort by the time they were made.
/// The zero id is "none".
template <class Tag>
class Id {
 public:
  constexpr Id() = default;
  explicit constexpr Id(const IdBytes& bytes) : bytes_(bytes) {}

  static Id make(Clock& clock, Random& random) { return Id(make_uuid7(clock.now(), random)); }

  /// Parses `req_…`; the error names the expected prefix.
  static Result<Id> parse(std::string_view text) {
    constexpr std::string_view prefix = Tag::prefix;
    if (text.size() == prefix.size() + 27 && text.starts_with(prefix) && text[prefix.size()] == '_')
      if (auto bytes = decode_id(text.substr(prefix.size() + 1))) return Id(*bytes);
    return fail(Code::invalid, "'{}' is not an id of the form {}_ and 26 characters", text.substr(0, 64), prefix);
  }

  std::string to_string() const { return std::string(Tag::prefix) + "_" + encode_id(bytes_); }
  constexpr const IdBytes& bytes() const { return bytes_; }
  constexpr explicit operator bool() const { return bytes_ != IdBytes{}; }
  /// The Unix milliseconds in the id.
  uint64_t unix_ms() const {
    uint64_t ms = 0;
    for (int i = 0; i < 6; ++i) ms = ms << 8 | bytes_[static_cast<size_t>(i)];
    return ms;
  }

  friend constexpr auto operator<=>(const Id&, const Id&) = default;

 private:
  IdBytes bytes_{};
};

#define GANTRY_ID(name, text)                        \
  struct name##Tag {                                 \
    static constexpr std::string_view prefix = text; \
  };                                                 \
  using name = Id<name##Tag>

GANTRY_ID(AgentId, "agt");
GANTRY_ID(RevisionId, "rev");
GANTRY_ID(InstanceId, "ins");
GANTRY_ID(RequestId, "req");
GANTRY_ID(EventId, "evt");
GANTRY_ID(KeyId, "key");

}  // namespace gantry

template <class Tag>
struct std::hash<gantry::Id<Tag>> {
  size_t operator()(const gantry::Id<Tag>& id) const noexcept {
    // The tail of a UUIDv7 is random already.
    size_t value = 0;
    std::memcpy(&value, id.bytes().data() + 8, sizeof value);
    return value;
  }
};

template <class Tag>
struct fmt::formatter<gantry::Id<Tag>> : fmt::formatter<std::string_view> {
  auto format(const gantry::Id<Tag>& id, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(id.to_string(), context);
  }
};
