#include "os/unix_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::os {
namespace {

// Linux 5.14; not in the headers of every distribution.
constexpr int so_netns_cookie = 71;

int type_flags(Blocking blocking) {
  return SOCK_SEQPACKET | SOCK_CLOEXEC | (blocking == Blocking::no ? SOCK_NONBLOCK : 0);
}

Result<int> int_option(const Fd& socket, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket.get(), SOL_SOCKET, name, &value, &size) != 0) {
    if (errno == ENOTSOCK) return fail(Code::invalid, "the descriptor is no socket");
    return fail_errno("read a socket option");
  }
  return value;
}

// Takes descriptors and credentials out of the control messages of one packet.
void collect_control(msghdr& message, Packet& packet) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    // SAFETY: the kernel wrote cmsg_len bytes; memcpy because CMSG_DATA need not be aligned for the type.
    if (header->cmsg_type == SCM_RIGHTS) {
      size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
        packet.fds.emplace_back(fd);
      }
    } else if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
      packet.sender = PeerCredentials{sender.pid, sender.uid, sender.gid};
    }
  }
}

}  // namespace

Result<std::pair<Fd, Fd>> make_packet_pair(Blocking blocking) {
  int fds[2];
  if (::socketpair(AF_UNIX, type_flags(blocking), 0, fds) != 0) return fail_errno("make a socket pair");
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Result<Fd> listen_packets(const std::filesystem::path& path, mode_t mode, int backlog) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  // A path that is too long for an address goes through the descriptor of its directory.
  Fd directory(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno("open " + path.parent_path().string());
  std::string name = text.size() < sizeof address.sun_path
                         ? text
                         : fmt::format("/proc/self/fd/{}/{}", directory.get(), path.filename().string());
  if (name.size() >= sizeof address.sun_path) return fail(Code::invalid, "the path '{}' is too long", text);
  std::memcpy(address.sun_path, name.data(), name.size());
  Fd fd(::socket(AF_UNIX, type_flags(Blocking::no), 0));
  if (!fd) return fail_errno("make a Unix socket");
  if (::unlink(name.c_str()) != 0 && errno != ENOENT) return fail_errno("replace " + text);
  // SAFETY: sockaddr_un is the address type of AF_UNIX; bind takes the generic type.
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return fail_errno("bind " + text);
  if (::chmod(name.c_str(), mode) != 0) return fail_errno("set the mode of " + text);
  if (::listen(fd.get(), backlog) != 0) return fail_errno("listen on " + text);
  return fd;
}

Result<std::optional<Fd>> accept_packets(const Fd& listener) {
  for (;;) {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) return fd;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return std::nullopt;
    return fail_errno("accept a connection");
  }
}

Result<> want_credentials(const Fd& socket) {
  int on = 1;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
    return fail_errno("ask for credentials");
  return {};
}

Result<PeerCredentials> peer_credentials(const Fd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail_errno("read the credentials of a peer");
  return PeerCredentials{peer.pid, peer.uid, peer.gid};
}

Result<> send_packet(const Fd& socket, std::string_view bytes, std::span<const int> fds) {
  if (fds.size() > max_packet_fds) return fail(Code::invalid, "{} descriptors do not fit into a message", fds.size());
  iovec vector{const_cast<char*>(bytes.data()), bytes.size()};  // SAFETY: sendmsg only reads
  alignas(cmsghdr) char control[CMSG_SPACE(max_packet_fds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return fail(Code::unavailable, "send a message: the peer does not read");
    return fail_errno("send a message");
  }
}

Result<Arrival> receive_packet(const Fd& socket, size_t limit, Packet& packet) {
  packet.fds.clear();
  packet.sender.reset();
  packet.bytes.resize(limit);
  iovec vector{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(max_packet_fds * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  packet.bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (got < 0) {
    if (errno == EAGAIN) return Arrival::nothing;
    if (errno == ECONNRESET) return Arrival::end;
    return fail_errno("receive a message");
  }
  collect_control(message, packet);
  if (got == 0 && packet.fds.empty()) return Arrival::end;
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    packet.fds.clear();
    return fail(Code::invalid, "a message is longer than {} bytes or carries too many descriptors", limit);
  }
  return Arrival::packet;
}

Result<SocketFacts> describe_socket(const Fd& socket) {
  SocketFacts facts;
  GANTRY_TRY(facts.domain, int_option(socket, SO_DOMAIN));
  GANTRY_TRY(facts.type, int_option(socket, SO_TYPE));
  GANTRY_TRY(facts.protocol, int_option(socket, SO_PROTOCOL));
  GANTRY_TRY(int listening, int_option(socket, SO_ACCEPTCONN));
  facts.listening = listening != 0;
  socklen_t size = sizeof facts.network;
  if (::getsockopt(socket.get(), SOL_SOCKET, so_netns_cookie, &facts.network, &size) != 0) {
    if (errno == ENOPROTOOPT) return fail(Code::unsupported, "the kernel is older than 5.14");
    return fail_errno("read the network namespace of a socket");
  }
  return facts;
}

Result<uint64_t> own_network() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return fail_errno("make a socket");
  GANTRY_TRY(SocketFacts facts, describe_socket(fd));
  return facts.network;
}

}  // namespace gantry::os
