// Where webhooks may go. A webhook's address comes from a user of the API, and the call is made from inside the
// server's network: without a bound it would reach what only the server can (server-side request forgery).
//
// Two questions: may this name be asked for, and may this address be connected to? The second is asked of the address
// itself, after the name was resolved and right before connect(2), so that a name cannot change in between.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::webhooks {

/// True for an address of the public internet: not loopback, link-local, private (RFC 1918, fc00::/7), shared (CGNAT),
/// multicast, unspecified, reserved, documentation, nor one that stands for an IPv4 address in IPv6 (mapped, 6to4,
/// Teredo), except NAT64's 64:ff9b::/96 of a public one. 4 or 16 bytes in network order.
bool is_public_address(std::span<const uint8_t> address);
/// `127.0.0.1`, `fe80::1`.
std::string format_address(std::span<const uint8_t> address);

/// The allow-list. An address or a network in it permits exactly those addresses, also private ones, whatever name led
/// there. A name, `*.example.com` (any depth, not the name itself) or `*` permits public addresses under that name.
class AllowedHosts {
 public:
  /// Any name, public addresses only.
  AllowedHosts();
  /// Patterns with commas between; none means `*`. `invalid` names the pattern that is none.
  static Result<AllowedHosts> parse(std::string_view text);

  /// What can be said without resolving: GR1102 for a name that is not in the list, for a numeric address that is not
  /// allowed, and for `localhost`.
  Result<void> check_host(std::string_view host) const;
  /// Whether an address that `host` resolved to may be connected to; GR1102.
  Result<void> check_address(std::string_view host, std::span<const uint8_t> address) const;

 private:
  struct Network {
    std::array<uint8_t, 16> bytes{};
    size_t size = 4;  ///< 4 or 16
    unsigned bits = 32;
    bool contains(std::span<const uint8_t> address) const;
  };
  static Result<Network> parse_network(std::string_view text);
  bool lists_address(std::span<const uint8_t> address) const;
  bool lists_name(std::string_view host) const;

  std::vector<Network> networks_;
  std::vector<std::string> names_;  ///< lower case; `*`, `*.x` or a name
};

}  // namespace gantry::webhooks
