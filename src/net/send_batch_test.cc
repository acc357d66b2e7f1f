#include "net/send_batch.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

namespace gantry::net {
namespace {

// A stream, and the other end of its line as a plain blocking descriptor.
struct Line {
  explicit Line(asio::io_context& context) {
    int ends[2];
    GANTRY_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    peer = ends[1];
    auto adopted = Stream::adopt(context.get_executor(), ends[0]);
    GANTRY_CHECK(adopted.has_value());
    stream = *adopted;
  }
  ~Line() { hang_up(); }
  Line(const Line&) = delete;

  bool write(std::string_view message) {
    Gather gather;
    gather.add(message);
    auto written = stream->write_soon(gather);
    return written && *written;
  }
  /// What has arrived, without waiting.
  std::string arrived() const {
    std::string bytes(size_t{1} << 20, '\0');
    const ssize_t got = ::recv(peer, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }
  void hang_up() {
    if (peer >= 0) ::close(std::exchange(peer, -1));
  }

  int peer = -1;
  StreamRef stream;
};

class SendBatchTest : public testing::Test {
 protected:
  void turn() {
    context_.restart();
    context_.poll();
  }
  asio::io_context context_{1};
};

void expect_all_arrive(asio::io_context& context) {
  std::vector<std::unique_ptr<Line>> lines;
  for (int i = 0; i < 150; ++i) lines.push_back(std::make_unique<Line>(context));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < lines.size(); ++i)
      ASSERT_TRUE(lines[i]->write(fmt::format("message {} of line {}", round, i)));
    context.restart();
    context.poll();
    for (size_t i = 0; i < lines.size(); ++i)
      EXPECT_EQ(lines[i]->arrived(), fmt::format("message {} of line {}", round, i));
  }
}

TEST_F(SendBatchTest, EveryMessageArrivesOnItsOwnLine) { expect_all_arrive(context_); }

TEST_F(SendBatchTest, MessagesWaitForTheEndOfTheTurnAndKeepTheirOrder) {
  Line first(context_);
  Line second(context_);
  ASSERT_TRUE(first.write("one,"));
  ASSERT_TRUE(second.write("other"));
  EXPECT_EQ(first.arrived() + second.arrived(), "");
  ASSERT_TRUE(first.write("two"));
  EXPECT_EQ(first.arrived(), "one,two") << "a second write lets out what waits before it";
  turn();
  EXPECT_EQ(second.arrived(), "other");
}

// Filters are those of a thread: one without io_uring, as in a container.
TEST_F(SendBatchTest, WithoutTheKernelsRingMessagesArriveAllTheSame) {
  std::thread([] {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program{.len = std::size(filter), .filter = filter};
    ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
    asio::io_context context(1);
    expect_all_arrive(context);
    Line line(context);
    ASSERT_TRUE(line.write("at once"));
    EXPECT_EQ(line.arrived(), "at once") << "nothing is gathered where it saves nothing";
  }).join();
}

TEST_F(SendBatchTest, WhatTheKernelDoesNotTakeLeavesWhenThePeerReads) {
  Line slow(context_);
  Line other(context_);
  int size = 4096;
  ASSERT_EQ(::setsockopt(slow.stream->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  std::string sent;
  for (int i = 0; i < 4; ++i) {
    std::string message(SendBatch::longest, static_cast<char>('a' + i));
    const bool taken = slow.write(message);
    ASSERT_TRUE(other.write("x"));
    turn();
    if (!taken) break;  // the line is full, and says so
    sent += message;
  }
  ASSERT_GE(sent.size(), SendBatch::longest);
  std::string got;
  for (int i = 0; i < 100 && got.size() < sent.size(); ++i) {
    got += slow.arrived();
    turn();
  }
  EXPECT_EQ(got, sent);
}

TEST_F(SendBatchTest, APartIsNeverFollowedByACleanEnd) {
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  // SAFETY: addresses of that size.
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  int small = 4096;
  ASSERT_EQ(::setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  ASSERT_EQ(::bind(listener, plain, size) | ::listen(listener, 1) | ::getsockname(listener, plain, &size), 0);
  int ours = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  ASSERT_EQ(::connect(ours, plain, size), 0);
  int peer = ::accept(listener, nullptr, nullptr);
  auto stream = *Stream::adopt(context_.get_executor(), ours);
  std::string message(SendBatch::longest, 'x');
  size_t taken = 0;
  for (bool more = true; more && taken < 100; ++taken) {
    Gather gather;
    gather.add(message);
    auto written = stream->write_soon(gather);
    turn();
    more = written && *written;
  }
  ASSERT_LT(taken, 100u);
  stream->shutdown_send();
  std::string bytes(size_t{4} << 20, '\0');
  ssize_t got = 0;
  for (int quiet = 0; quiet < 20; ++quiet) {
    while ((got = ::recv(peer, bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0) quiet = 0;
    ASSERT_NE(got, 0) << "it looks as if that had been all";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  stream->close();
  got = ::recv(peer, bytes.data(), bytes.size(), 0);
  EXPECT_EQ(got, -1);
  EXPECT_EQ(errno, ECONNRESET);
  ::close(peer);
  ::close(listener);
}

TEST_F(SendBatchTest, APeerThatHasGoneShowsInTheNextWrite) {
  Line gone(context_);
  Line other(context_);
  gone.hang_up();
  gone.write("into the void");
  ASSERT_TRUE(other.write("x"));
  turn();
  EXPECT_FALSE(gone.write("more"));
  EXPECT_EQ(other.arrived(), "x");
}

TEST_F(SendBatchTest, AMessageLeavesBeforeItsStreamIsClosed) {
  Line line(context_);
  Line other(context_);
  ASSERT_TRUE(other.write("x"));
  ASSERT_TRUE(line.write("last words"));
  line.stream->close();
  EXPECT_EQ(line.arrived(), "last words");
}

TEST_F(SendBatchTest, AContextThatEndsForgetsWhatWaits) {
  auto context = std::make_unique<asio::io_context>(1);
  auto line = std::make_unique<Line>(*context);
  ASSERT_TRUE(line->write("never"));
  line->stream.reset();  // the batch holds it now
  context.reset();
}

}  // namespace
}  // namespace gantry::net
