// Header fields: in the order of the message, repeats kept, names and values byte for byte.
#pragma once

#include <cstddef>
#include <deque>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::net {

/// One field as it stood on the wire, without the white space around the value.
struct Header {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Header&, const Header&) = default;
};

/// A view of fields in their order. From a braced list it is valid until the end of the full expression, which for
/// `co_await exchange.respond(200, {{"a", "b"}}, body)` is when the call has ended.
class Headers {
 public:
  constexpr Headers() = default;
  constexpr Headers(std::span<const Header> items) : data_(items.data()), size_(items.size()) {}
  constexpr Headers(std::initializer_list<Header> items) : data_(items.begin()), size_(items.size()) {}
  Headers(const std::vector<Header>& items) : data_(items.data()), size_(items.size()) {}

  const Header* begin() const { return data_; }
  const Header* end() const { return data_ + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const Header& operator[](size_t index) const { return data_[index]; }

  /// The value of the first field of that name; names compare without case (RFC 9110 5.1).
  std::optional<std::string_view> find(std::string_view name) const;
  /// The values of all fields of that name, in order.
  std::vector<std::string_view> all(std::string_view name) const;
  /// True if a comma-separated list in any field of that name holds the token, without case.
  bool has_token(std::string_view name, std::string_view token) const;

 private:
  const Header* data_ = nullptr;
  size_t size_ = 0;
};

/// Fields that own their text. Views of it stay valid while it lives and is not cleared, also when it is moved.
class HeaderList {
 public:
  HeaderList() = default;
  explicit HeaderList(Headers headers);
  HeaderList(const HeaderList& other) : HeaderList(other.view()) {}
  HeaderList& operator=(const HeaderList& other);
  HeaderList(HeaderList&&) noexcept = default;
  HeaderList& operator=(HeaderList&&) noexcept = default;

  void add(std::string_view name, std::string_view value);
  /// Removes all fields of that name, then adds this one.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  void clear();
  Headers view() const { return Headers(items_); }
  operator Headers() const { return view(); }
  bool empty() const { return items_.empty(); }

 private:
  std::vector<Header> items_;
  std::deque<std::string> texts_;  // a deque: elements never move
};

/// True for a field name (RFC 9110 5.6.2 token) and a value without control bytes but tab: what may go on the wire.
bool is_valid_header(const Header& header);

}  // namespace gantry::net
