#include "webhooks/hosts.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <optional>

namespace gantry::webhooks {
namespace {

namespace ip = boost::asio::ip;

struct Range {
  std::array<uint8_t, 16> bytes;
  unsigned bits;
};

// IANA IPv4 Special-Purpose Address Registry, and multicast.
constexpr Range special_v4[] = {
    {{0}, 8},              // this network, unspecified
    {{10}, 8},             // private
    {{100, 64}, 10},       // shared, carrier-grade NAT
    {{127}, 8},            // loopback
    {{169, 254}, 16},      // link-local: also the metadata services of clouds
    {{172, 16}, 12},       // private
    {{192, 0, 0}, 24},     // protocol assignments
    {{192, 0, 2}, 24},     // documentation
    {{192, 88, 99}, 24},   // 6to4 relays, retired
    {{192, 168}, 16},      // private
    {{198, 18}, 15},       // benchmarks
    {{198, 51, 100}, 24},  // documentation
    {{203, 0, 113}, 24},   // documentation
    {{224}, 4},            // multicast
    {{240}, 4},            // reserved, broadcast
};

// Only 2000::/3 is global unicast (RFC 4291), and of it not these.
constexpr Range global_v6{{0x20}, 3};
constexpr Range special_v6[] = {
    {{0x20, 0x01, 0x00}, 23},        // protocol assignments, with Teredo
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4: an IPv4 address in disguise
    {{0x3f, 0xff, 0x00}, 20},        // documentation
};
// Where DNS64 puts public IPv4 addresses (RFC 6052).
constexpr Range nat64{{0x00, 0x64, 0xff, 0x9b}, 96};

bool in_range(std::span<const uint8_t> address, std::span<const uint8_t> network, unsigned bits) {
  for (size_t i = 0; bits > 0; ++i) {
    unsigned taken = std::min(bits, 8U);
    auto mask = static_cast<uint8_t>(0xff << (8 - taken));
    if ((address[i] & mask) != (network[i] & mask)) return false;
    bits -= taken;
  }
  return true;
}

bool in_range(std::span<const uint8_t> address, const Range& range) {
  return in_range(address, range.bytes, range.bits);
}

std::optional<ip::address> numeric(std::string_view host) {
  boost::system::error_code error;
  auto address = ip::make_address(std::string(host), error);
  if (error) return std::nullopt;
  return address;
}

// `example.com.` is the same name.
std::string normal(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return to_lower(host);
}

bool is_hostname(std::string_view text) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  return !text.empty() && text.size() <= 253 && text.front() != '.' && !text.contains("..") &&
         std::ranges::all_of(text, allowed);
}

Error not_allowed(std::string_view host, std::string_view why) {
  return Error(ErrorId::GR1102, fmt::format("{}: {}", host.substr(0, 253), why))
      .with_hint("gantry config set webhook_allowed_hosts HOSTS and a restart of the server allow more");
}

constexpr std::string_view not_public = "it is not an address of the public internet";

}  // namespace

bool is_public_address(std::span<const uint8_t> address) {
  if (address.size() == 4)
    return std::ranges::none_of(special_v4, [&](const Range& range) { return in_range(address, range); });
  if (address.size() != 16) return false;
  if (in_range(address, nat64)) return is_public_address(address.subspan(12));
  return in_range(address, global_v6) &&
         std::ranges::none_of(special_v6, [&](const Range& range) { return in_range(address, range); });
}

std::string format_address(std::span<const uint8_t> address) {
  if (address.size() == 4) {
    ip::address_v4::bytes_type bytes;
    std::ranges::copy(address, bytes.begin());
    return ip::address_v4(bytes).to_string();
  }
  ip::address_v6::bytes_type bytes{};
  std::ranges::copy(address.first(std::min<size_t>(16, address.size())), bytes.begin());
  return ip::address_v6(bytes).to_string();
}

bool AllowedHosts::Network::contains(std::span<const uint8_t> address) const {
  return address.size() == size && in_range(address, bytes, bits);
}

AllowedHosts::AllowedHosts() : names_{"*"} {}

Result<AllowedHosts::Network> AllowedHosts::parse_network(std::string_view text) {
  size_t slash = std::min(text.find('/'), text.size());
  auto address = numeric(text.substr(0, slash));
  if (!address) return fail(Code::invalid, "'{}' is no address", text.substr(0, 64));
  Network network;
  if (address->is_v4()) {
    std::ranges::copy(address->to_v4().to_bytes(), network.bytes.begin());
  } else {
    std::ranges::copy(address->to_v6().to_bytes(), network.bytes.begin());
    network.size = 16;
  }
  network.bits = static_cast<unsigned>(network.size * 8);
  if (slash == text.size()) return network;
  std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (error != std::errc() || stop != digits.data() + digits.size() || bits > network.bits)
    return fail(Code::invalid, "'{}': the length of the network is not 0 to {}", text.substr(0, 64), network.bits);
  network.bits = bits;
  return network;
}

Result<AllowedHosts> AllowedHosts::parse(std::string_view text) {
  AllowedHosts hosts;
  hosts.names_.clear();
  while (!text.empty()) {
    size_t end = std::min(text.find(','), text.size());
    std::string pattern = normal(trim(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pattern.empty()) continue;
    std::string_view bare = pattern;
    if (bare.starts_with('[') && bare.ends_with(']')) bare = bare.substr(1, bare.size() - 2);
    if (bare.contains('/') || numeric(bare)) {
      GANTRY_TRY(Network network, parse_network(bare));
      hosts.networks_.push_back(network);
    } else if (pattern == "*" || is_hostname(pattern.starts_with("*.") ? bare.substr(2) : bare)) {
      hosts.names_.push_back(std::move(pattern));
    } else {
      return fail(Code::invalid, "'{}' is neither a hostname, *.example.com, an address nor a network",
                  pattern.substr(0, 64));
    }
  }
  if (hosts.names_.empty() && hosts.networks_.empty()) hosts.names_.emplace_back("*");
  return hosts;
}

bool AllowedHosts::lists_address(std::span<const uint8_t> address) const {
  return std::ranges::any_of(networks_, [&](const Network& network) { return network.contains(address); });
}

bool AllowedHosts::lists_name(std::string_view host) const {
  std::string name = normal(host);
  return std::ranges::any_of(names_, [&](std::string_view pattern) {
    if (pattern == "*") return true;
    if (pattern.starts_with("*.")) return name.size() > pattern.size() - 1 && name.ends_with(pattern.substr(1));
    return name == pattern;
  });
}

Result<void> AllowedHosts::check_host(std::string_view host) const {
  if (auto address = numeric(host))
    return address->is_v4() ? check_address(host, address->to_v4().to_bytes())
                            : check_address(host, address->to_v6().to_bytes());
  std::string name = normal(host);
  if (!is_hostname(name)) return std::unexpected(not_allowed(host, "it is not a hostname"));
  // Networks in the list may hold the address of any name; that shows when it is resolved.
  if (!networks_.empty()) return {};
  if (name == "localhost" || name.ends_with(".localhost")) return std::unexpected(not_allowed(host, not_public));
  if (!lists_name(name)) return std::unexpected(not_allowed(host, "it is not in webhook_allowed_hosts"));
  return {};
}

Result<void> AllowedHosts::check_address(std::string_view host, std::span<const uint8_t> address) const {
  if (lists_address(address)) return {};
  std::string shown = format_address(address);
  std::string what = shown == host ? shown : fmt::format("{} is {}", host.substr(0, 253), shown);
  if (!is_public_address(address)) return std::unexpected(not_allowed(what, not_public));
  if (!lists_name(host)) return std::unexpected(not_allowed(what, "it is not in webhook_allowed_hosts"));
  return {};
}

}  // namespace gantry::webhooks
