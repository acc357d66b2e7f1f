#include "os/unix_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

namespace gantry::os {
namespace {

TEST(Packets, KeepTheirBordersAndCarryDescriptors) {
  auto pair = make_packet_pair();
  ASSERT_TRUE(pair.has_value());
  auto& [left, right] = *pair;
  Packet packet;
  EXPECT_EQ(*receive_packet(right, 100, packet), Arrival::nothing);
  std::vector<int> fds(max_packet_fds, left.get());
  ASSERT_TRUE(send_packet(left, "one").has_value());
  ASSERT_TRUE(send_packet(left, "two", fds).has_value());
  ASSERT_EQ(*receive_packet(right, 100, packet), Arrival::packet);
  EXPECT_EQ(packet.bytes, "one");
  EXPECT_TRUE(packet.fds.empty());
  ASSERT_EQ(*receive_packet(right, 100, packet), Arrival::packet);
  EXPECT_EQ(packet.bytes, "two");
  EXPECT_EQ(packet.fds.size(), max_packet_fds);
  packet.fds.clear();
  left.reset();
  EXPECT_EQ(*receive_packet(right, 100, packet), Arrival::end);
}

TEST(Packets, AreRefusedWhenTheyAreLongerThanTheLimit) {
  auto pair = make_packet_pair();
  ASSERT_TRUE(send_packet(pair->first, "too long").has_value());
  Packet packet;
  EXPECT_EQ(receive_packet(pair->second, 3, packet).error().code(), Code::invalid);
  std::vector<int> fds(max_packet_fds + 1, pair->first.get());
  EXPECT_EQ(send_packet(pair->first, "x", fds).error().code(), Code::invalid);
}

TEST(Packets, SayWhenTheReaderIsSlowOrGone) {
  auto pair = make_packet_pair();
  std::string big(10'000, 'x');
  Result<> sent;
  for (int i = 0; i < 1000 && sent; ++i) sent = send_packet(pair->first, big);
  ASSERT_FALSE(sent.has_value());
  EXPECT_EQ(sent.error().code(), Code::unavailable);
  pair->second.reset();
  EXPECT_EQ(send_packet(pair->first, "x").error().code(), Code::unavailable);
}

TEST(Packets, TellWhoSentThem) {
  auto pair = make_packet_pair();
  ASSERT_TRUE(want_credentials(pair->second).has_value());
  ASSERT_TRUE(send_packet(pair->first, "x").has_value());
  Packet packet;
  ASSERT_EQ(*receive_packet(pair->second, 10, packet), Arrival::packet);
  ASSERT_TRUE(packet.sender.has_value());
  EXPECT_EQ(packet.sender->pid, getpid());
  EXPECT_EQ(packet.sender->uid, getuid());
  EXPECT_EQ(peer_credentials(pair->second)->pid, getpid());
}

TEST(PacketListener, AcceptsAlsoBelowALongPath) {
  std::string pattern = "/tmp/gantry-os-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  std::filesystem::path directory = std::filesystem::path(pattern) / std::string(120, 'd');
  std::filesystem::create_directories(directory);
  auto listener = listen_packets(directory / "control.sock", 0600, 4);
  ASSERT_TRUE(listener.has_value()) << listener.error().reason();
  EXPECT_FALSE((*accept_packets(*listener)).has_value());
  // Replaces a socket that an earlier process left behind.
  EXPECT_TRUE(listen_packets(directory / "control.sock", 0600, 4).has_value());
  std::filesystem::remove_all(pattern);
}

TEST(DescribeSocket, TellsAListenerFromAConnectionAndAFile) {
  Fd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto facts = describe_socket(tcp);
  ASSERT_TRUE(facts.has_value()) << facts.error().reason();
  EXPECT_EQ(facts->domain, AF_INET);
  EXPECT_EQ(facts->type, SOCK_STREAM);
  EXPECT_EQ(facts->protocol, IPPROTO_TCP);
  EXPECT_FALSE(facts->listening);
  EXPECT_EQ(facts->network, *own_network());
  ASSERT_EQ(::listen(tcp.get(), 1), 0);
  EXPECT_TRUE(describe_socket(tcp)->listening);
  Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(describe_socket(file).error().code(), Code::invalid);
}

}  // namespace
}  // namespace gantry::os
