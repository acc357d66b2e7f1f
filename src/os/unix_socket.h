// Unix sockets that keep message borders (SEQPACKET), carry descriptors (SCM_RIGHTS) and tell who sent
// a message (SCM_CREDENTIALS); and what an unknown descriptor really is.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"
#include "os/fd.h"

namespace gantry::os {

/// Most descriptors in one message (SCM_MAX_FD of the kernel).
inline constexpr size_t max_packet_fds = 253;

/// Who is at the other end, as the kernel says it.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// One message.
struct Packet {
  std::string bytes;
  std::vector<Fd> fds;
  std::optional<PeerCredentials> sender;  ///< if `want_credentials` was called before it was sent
};

/// Whether calls on a socket wait.
enum class Blocking { no, yes };

/// Two connected SEQPACKET sockets, close-on-exec.
Result<std::pair<Fd, Fd>> make_packet_pair(Blocking blocking = Blocking::no);
/// A non-blocking SEQPACKET listener at `path`, which is replaced; `mode` is that of the socket file.
Result<Fd> listen_packets(const std::filesystem::path& path, mode_t mode, int backlog);
/// The next connection, nullopt if none waits. Non-blocking.
Result<std::optional<Fd>> accept_packets(const Fd& listener);

/// Asks the kernel to say with each message who sent it.
Result<> want_credentials(const Fd& socket);
/// Who connected or made the socket pair (SO_PEERCRED).
Result<PeerCredentials> peer_credentials(const Fd& socket);

/// Sends one message; `unavailable` if a non-blocking socket is full or the peer is gone.
Result<> send_packet(const Fd& socket, std::string_view bytes, std::span<const int> fds = {});

/// What `receive_packet` found.
enum class Arrival { packet, nothing, end };
/// Receives one message of at most `limit` bytes into `packet`; `invalid` if it was longer or had more
/// descriptors than fit, which are closed. `nothing`: a non-blocking socket has none now. `end`: the peer
/// is gone. Descriptors are close-on-exec.
Result<Arrival> receive_packet(const Fd& socket, size_t limit, Packet& packet);

/// What a descriptor that somebody handed over really is.
struct SocketFacts {
  int domain = 0;    ///< AF_INET, …
  int type = 0;      ///< SOCK_STREAM, …
  int protocol = 0;  ///< IPPROTO_TCP, …
  bool listening = false;
  uint64_t network = 0;  ///< SO_NETNS_COOKIE: which network namespace it belongs to
};
/// `invalid` if it is no socket; `unsupported` on kernels before 5.14.
Result<SocketFacts> describe_socket(const Fd& socket);

/// The cookie of this process's own network namespace.
Result<uint64_t> own_network();

}  // namespace gantry::os
