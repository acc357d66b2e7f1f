#include "sandbox/drivers/bubblewrap/seccomp.h"

#include <fcntl.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>

#include "os/os.h"
#include "sandbox/drivers/bubblewrap/seccomp_calls.h"

namespace gantry::sandbox::bubblewrap {
namespace {

// The kernel truncates int arguments to 32 bits, a filter sees 64: comparisons look at the low half only,
// or an attacker sets a high bit.
constexpr uint64_t int_bits = 0xffff'ffff;
constexpr uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
constexpr uint32_t unknown = SCMP_ACT_ERRNO(ENOSYS);
constexpr Bytes filter_limit = kibibytes(512);

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

// Collects the first failure of many calls: a filter with a hole must not be used.
class Builder {
 public:
  explicit Builder(uint32_t default_action) : filter_(seccomp_init(default_action)) {
    if (!filter_) failed_ = -ENOMEM;
  }
  void set(scmp_filter_attr attribute, uint32_t value) { note(seccomp_attr_set(filter_.get(), attribute, value)); }
  void rule(uint32_t action, int call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    note(seccomp_rule_add_array(filter_.get(), action, call, static_cast<unsigned>(conditions.size()),
                                conditions.begin()));
  }
  Result<std::string> program() {
    if (failed_ != 0) return std::unexpected(errno_error(-failed_, "build a system call filter"));
    os::Fd file(memfd_create("filter", MFD_CLOEXEC));
    if (!file) return fail_errno("make a memory file");
    if (int error = seccomp_export_bpf(filter_.get(), file.get()); error != 0)
      return std::unexpected(errno_error(-error, "export a system call filter"));
    if (lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("rewind a system call filter");
    return os::read_fd(file, filter_limit);
  }

 private:
  void note(int result) {
    if (result < 0 && failed_ == 0) failed_ = result;
  }
  Filter filter_;
  int failed_ = 0;
};

// True if the argument, with only the bits of `mask`, is `value`.
scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
scmp_arg_cmp equals(unsigned argument, uint64_t value) { return masked(argument, int_bits, value); }
scmp_arg_cmp has_bit(unsigned argument, uint64_t bit) { return masked(argument, bit, bit); }
// True also if a high bit is set that the kernel would ignore: for refusals only.
scmp_arg_cmp above(unsigned argument, uint64_t value) { return {argument, SCMP_CMP_GT, value, 0}; }

// clone makes threads and processes, but no namespaces.
void allow_clone(Builder& builder) {
  constexpr uint64_t namespaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                     CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
  uint64_t all = 0;
  for (uint64_t flag : namespaces) {
    all |= flag;
    builder.rule(refuse, SCMP_SYS(clone), {has_bit(0, flag)});
  }
  builder.rule(SCMP_ACT_ALLOW, SCMP_SYS(clone), {masked(0, all, 0)});
}

// Limits of the calling process only: the shim has the same uid.
void allow_prlimit(Builder& builder) {
  builder.rule(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {scmp_arg_cmp{0, SCMP_CMP_EQ, 0, 0}});
  builder.rule(refuse, SCMP_SYS(prlimit64), {above(0, 0)});
}

// The personalities of ordinary programs, as Docker allows them; the others weaken address randomisation.
void allow_personality(Builder& builder) {
  for (uint64_t value : {uint64_t{PER_LINUX}, uint64_t{PER_LINUX32}, uint64_t{UNAME26},
                         uint64_t{PER_LINUX32} | uint64_t{UNAME26}, uint64_t{0xffff'ffff}})
    builder.rule(SCMP_ACT_ALLOW, SCMP_SYS(personality), {equals(0, value)});
}

Result<std::string> build_calls() {
  Builder builder(unknown);
  // Errors, not kills: a program that tries finds out, and one that probes falls back.
  builder.set(SCMP_FLTATR_ACT_BADARCH, unknown);
  builder.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree: 9 comparisons instead of up to 350
  std::set<int> decided{SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(prlimit64), SCMP_SYS(personality)};
  for (std::string_view name : allowed_calls) {
    int call = seccomp_syscall_resolve_name(std::string(name).c_str());
    if (call < 0) continue;  // this architecture or this libseccomp does not have it
    if (decided.insert(call).second) builder.rule(SCMP_ACT_ALLOW, call);
  }
  allow_clone(builder);
  allow_prlimit(builder);
  allow_personality(builder);
  // What libseccomp knows and the list does not: refused rather than "not there".
  constexpr int most_calls = 1024;
  for (int call = 0; call < most_calls; ++call) {
    std::unique_ptr<char, decltype(&free)> name(seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call), &free);
    if (name && !decided.contains(call)) builder.rule(refuse, call);
  }
  return builder.program();
}

void refuse_sockets(Builder& builder, int call) {
  // Families: local, IPv4, IPv6 and netlink are namespaced. Vsock reaches the hypervisor, packet and raw
  // netlink the machine, others are old code in modules that load on demand.
  for (uint64_t family = 0; family <= 64; ++family)
    if (family != AF_UNSPEC && family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
      builder.rule(refuse, call, {equals(0, family)});
  builder.rule(refuse, call, {above(0, 64)});
  // Of netlink only NETLINK_ROUTE (0), which getaddrinfo and Go use.
  builder.rule(refuse, call, {equals(0, AF_NETLINK), above(2, NETLINK_ROUTE)});
  for (uint64_t family : {AF_INET, AF_INET6}) {
    constexpr uint64_t type_bits = 0xf;
    for (uint64_t type : {SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET})
      builder.rule(refuse, call, {equals(0, family), masked(1, type_bits, type)});
    // TCP and UDP only. "Not supported" is what programs that try MPTCP or SCTP expect.
    const uint32_t unsupported = SCMP_ACT_ERRNO(EPROTONOSUPPORT);
    for (uint64_t protocol = 1; protocol < IPPROTO_UDP; ++protocol)
      if (protocol != IPPROTO_TCP) builder.rule(unsupported, call, {equals(0, family), equals(2, protocol)});
    builder.rule(unsupported, call, {equals(0, family), above(2, IPPROTO_UDP)});
  }
}

Result<std::string> build_arguments() {
  Builder builder(SCMP_ACT_ALLOW);
  builder.set(SCMP_FLTATR_ACT_BADARCH, unknown);
  // Both put characters into the input of a terminal, where a shell outside would run them.
  builder.rule(refuse, SCMP_SYS(ioctl), {equals(1, TIOCSTI)});
  builder.rule(refuse, SCMP_SYS(ioctl), {equals(1, TIOCLINUX)});
  refuse_sockets(builder, SCMP_SYS(socket));
  refuse_sockets(builder, SCMP_SYS(socketpair));
  return builder.program();
}

}  // namespace

Result<Filters> build_filters() {
  Filters filters;
  GANTRY_TRY(filters.calls, build_calls());
  GANTRY_TRY(filters.arguments, build_arguments());
  return filters;
}

}  // namespace gantry::sandbox::bubblewrap
