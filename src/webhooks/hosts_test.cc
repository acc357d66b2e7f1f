#include "webhooks/hosts.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace gantry::webhooks {
namespace {

std::vector<uint8_t> bytes_of(const std::string& text) {
  bool is_v6 = text.contains(':');
  std::vector<uint8_t> bytes(is_v6 ? 16 : 4);
  EXPECT_EQ(::inet_pton(is_v6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data()), 1) << text;
  return bytes;
}

AllowedHosts hosts(std::string_view text) {
  auto parsed = AllowedHosts::parse(text);
  EXPECT_TRUE(parsed.has_value()) << parsed.error().reason();
  return parsed.value_or(AllowedHosts());
}

TEST(PublicAddress, IsNoneOfOurOwnNetwork) {
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.1",
                           "10.255.255.255",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.254",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::127.0.0.1",
                           "::8.8.8.8",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::ffff:0:8.8.8.8",
                           "64:ff9b::7f00:1",
                           "64:ff9b::a00:1",
                           "64:ff9b:1::8.8.8.8",
                           "100::1",
                           "2001::1",
                           "2001:2::1",
                           "2001:10::1",
                           "2001:db8::1",
                           "2002:7f00:1::",
                           "2002:808:808::1",
                           "3fff::1",
                           "fc00::1",
                           "fd12:3456::1",
                           "fe80::1",
                           "febf::1",
                           "fec0::1",
                           "ff02::1",
                           "ff0e::1",
                           "4000::1",
                           "1fff::1"})
    EXPECT_FALSE(is_public_address(bytes_of(text))) << text;
}

TEST(PublicAddress, IsOneThatAnybodyCanReach) {
  for (const char* text : {"1.1.1.1",         "8.8.8.8",        "9.255.255.255",
                           "11.0.0.1",        "100.63.255.255", "100.128.0.1",
                           "126.1.1.1",       "128.0.0.1",      "169.253.1.1",
                           "172.15.255.255",  "172.32.0.1",     "192.167.1.1",
                           "192.169.1.1",     "198.17.1.1",     "198.20.1.1",
                           "223.255.255.255", "2001:200::1",    "2001:4860:4860::8888",
                           "2606:4700::1111", "2a00:1450::1",   "64:ff9b::8.8.8.8"})
    EXPECT_TRUE(is_public_address(bytes_of(text))) << text;
}

TEST(PublicAddress, HasFourOrSixteenBytes) { EXPECT_FALSE(is_public_address(std::vector<uint8_t>{8, 8, 8})); }

TEST(AllowedHosts, TakeAnyNameAndOnlyPublicAddressesByDefault) {
  AllowedHosts any;
  EXPECT_TRUE(any.check_host("hooks.example.com").has_value());
  EXPECT_TRUE(any.check_host("8.8.8.8").has_value());
  EXPECT_TRUE(any.check_address("hooks.example.com", bytes_of("8.8.8.8")).has_value());
  for (const char* host : {"127.0.0.1", "::1", "localhost", "LOCALHOST.", "a.localhost", "10.0.0.1", "169.254.169.254",
                           "::ffff:127.0.0.1", "fe80::1%1", "a b", ""}) {
    auto checked = any.check_host(host);
    ASSERT_FALSE(checked.has_value()) << host;
    EXPECT_EQ(checked.error().id(), ErrorId::GR1102) << host;
    EXPECT_TRUE(checked.error().hint().contains("webhook_allowed_hosts")) << host;
  }
}

// What DNS rebinding does: the name is fine, its address is not.
TEST(AllowedHosts, RefuseANameThatLeadsInside) {
  for (std::string_view list : {"", "*", "rebind.example.com", "*.example.com"}) {
    auto checked = hosts(list).check_address("rebind.example.com", bytes_of("127.0.0.1"));
    ASSERT_FALSE(checked.has_value()) << list;
    EXPECT_TRUE(checked.error().reason().starts_with("rebind.example.com is 127.0.0.1: ")) << checked.error().reason();
  }
}

TEST(AllowedHosts, AListedAddressIsAllowedWhateverItIs) {
  AllowedHosts inside = hosts("127.0.0.1, 10.1.0.0/16, fd00::/8,[::1]");
  for (const char* text : {"127.0.0.1", "10.1.0.1", "10.1.255.255", "fdab::1", "::1"})
    EXPECT_TRUE(inside.check_address("any.example.com", bytes_of(text)).has_value()) << text;
  for (const char* text : {"127.0.0.2", "10.2.0.1", "fc00::1", "8.8.8.8"})
    EXPECT_FALSE(inside.check_address("any.example.com", bytes_of(text)).has_value()) << text;
  EXPECT_TRUE(inside.check_host("127.0.0.1").has_value());
  EXPECT_TRUE(inside.check_host("localhost").has_value());
  EXPECT_FALSE(inside.check_host("127.0.0.2").has_value());
}

TEST(AllowedHosts, NamesInTheListBoundWhatMayBeAskedFor) {
  AllowedHosts some = hosts("Hooks.example.com, *.example.net");
  for (const char* host : {"hooks.example.com", "HOOKS.EXAMPLE.COM.", "a.example.net", "a.b.example.net"})
    EXPECT_TRUE(some.check_host(host).has_value()) << host;
  for (const char* host : {"example.com", "xhooks.example.com", "example.net", "badexample.net", "8.8.8.8"})
    EXPECT_FALSE(some.check_host(host).has_value()) << host;
  EXPECT_TRUE(some.check_address("a.example.net", bytes_of("8.8.8.8")).has_value());
  EXPECT_FALSE(some.check_address("example.net", bytes_of("8.8.8.8")).has_value());
}

TEST(AllowedHosts, SayWhichPatternIsNone) {
  for (const char* text :
       {"http://example.com", "a..b", "10.0.0.0/33", "::/129", "10.0.0.0/x", "*.*.com", "a b", "1.2.3.4/"})
    EXPECT_FALSE(AllowedHosts::parse(text).has_value()) << text;
}

}  // namespace
}  // namespace gantry::webhooks
