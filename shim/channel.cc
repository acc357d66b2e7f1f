#include "shim/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::shim {
namespace {

constexpr int send_patience_ms = 1000;
constexpr int listener_backlog = 1024;

}  // namespace

bool send_message(int socket, MessageType type, Message& message, const int* fds, size_t count) {
  message.version = protocol_version;
  message.type = type;
  message.reserved = 0;
  iovec vector{&message, sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE((max_sockets + 2) * sizeof(int))];
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (count > 0) {
    memset(control, 0, sizeof control);
    header.msg_control = control;
    header.msg_controllen = static_cast<socklen_t>(CMSG_SPACE(count * sizeof(int)));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = static_cast<socklen_t>(CMSG_LEN(count * sizeof(int)));
    memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
  }
  for (;;) {
    if (sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return true;
    if (errno != EAGAIN) return false;
    pollfd writable{socket, POLLOUT, 0};
    if (poll(&writable, 1, send_patience_ms) != 1) return false;
  }
}

void close_all(Descriptors& descriptors) {
  for (uint32_t i = 0; i < descriptors.count; ++i) close(descriptors.fds[i]);
  descriptors.count = 0;
}

Received receive_message(int socket, Message& message, Descriptors& descriptors) {
  descriptors.count = 0;
  iovec vector{&message, sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptors.fds)];
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::nothing;
  if (got <= 0) return Received::end;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    descriptors.count = static_cast<uint32_t>((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors.fds, CMSG_DATA(rights), descriptors.count * sizeof(int));
  }
  // Only the daemon is at the other end; a message of another version is one that nobody should act on.
  if (got != sizeof message || message.version != protocol_version) {
    close_all(descriptors);
    return Received::end;
  }
  return Received::message;
}

int make_tcp_socket() { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP); }

int make_listener(uint16_t port) {
  int fd = make_tcp_socket();
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // SAFETY: sockaddr_in is the address type of AF_INET; bind takes the generic type.
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(fd, listener_backlog) == 0)
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int connect_control() {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, control_name, sizeof control_name);
  // The run directory has no name in here; a relative address is looked up from the working directory.
  bool connected = fchdir(run_fd) == 0 &&
                   // SAFETY: sockaddr_un is the address type of AF_UNIX; connect takes the generic type.
                   connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (chdir("/") != 0) connected = false;
  if (connected) return fd;
  close(fd);
  return -1;
}

}  // namespace gantry::shim
