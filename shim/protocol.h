// What `gantry-shim` (pid 1 of a sandbox) and the daemon say to each other, and what the shim leaves on
// disk for a daemon that was not there.
//
// Transport: a Unix SEQPACKET socket; one Message each, descriptors as SCM_RIGHTS. The shim inherits one
// end; when it closes, the shim connects to `control.sock` in the run directory, every 50 ms until the
// re-attach window ends. The life of a conversation:
//
//   shim    hello      + a probe socket, whose network namespace the daemon remembers
//   daemon  configure  + a memfd with Records (below)
//   shim    started    + the listeners that were asked for, or the stage that failed and its errno
//   daemon  want_sockets, signal, stop, kill, want_usage …   shim  sockets, usage …
//   daemon  run        + a memfd with Records, + stdin, stdout and stderr unless it gets a terminal
//   shim    ran        + the terminal's master, or the stage that failed; later run_ended
//   shim    exited     then it is gone
//   (after a reconnection)
//   shim    hello      + probe socket + listeners            daemon  welcome
//
// This header is freestanding: it is compiled against two C libraries. Both sides are always of the same
// build except over a restart with a new binary: what is added gets a new version and goes to the end of its
// enumeration, and a daemon speaks the version of the shim's hello. Version 2 added the runs.
#pragma once

#include <stdint.h>

namespace gantry::shim {

inline constexpr uint32_t protocol_version = 2;
inline constexpr uint32_t oldest_protocol_version = 1;  ///< that a daemon speaks
inline constexpr uint32_t runs_version = 2;             ///< since this one there is `run`
inline constexpr uint32_t max_sockets = 250;            ///< of one message; the kernel allows 253
inline constexpr uint32_t max_listeners = 16;
inline constexpr uint32_t max_runs = 64;         ///< at a time
inline constexpr uint32_t max_received_fds = 4;  ///< of one message to the shim
inline constexpr uint32_t max_line = 16 * 1024;  ///< bytes of one log line; longer ones are cut
inline constexpr uint32_t reconnect_ms = 50;
inline constexpr char control_name[] = "control.sock";
inline constexpr char exit_name[] = "exit";  ///< in the log directory
inline constexpr char current_log_name[] = "current.log";

/// Descriptors that the shim inherits, by number.
inline constexpr int control_fd = 3;  ///< SEQPACKET, connected to the daemon
inline constexpr int run_fd = 4;      ///< O_PATH, the directory of `control.sock`
inline constexpr int logs_fd = 5;     ///< the instance's log directory

enum class MessageType : uint16_t {
  none = 0,  ///< of a blank message; never sent
  hello,
  started,
  sockets,
  usage,
  exited,
  ran,
  run_ended,
  welcome = 64,
  configure,
  want_sockets,
  signal,
  stop,
  kill,
  want_usage,
  run,
  run_signal,
};

/// What the shim was doing when it could not start the program.
enum class Stage : uint32_t { none, configuration, listener, pipe, fork, limits, directory, seccomp, exec, terminal };

enum class Target : uint32_t { main, everything };

/// Why the shim ended.
enum class EndReason : uint32_t { ended, abandoned, killed };

struct Hello {
  uint8_t instance[16];
  int32_t main_pid;  ///< inside; 0 before the program was started
  uint32_t listeners;
};
struct Started {
  Stage stage;  ///< `none` is success
  int32_t error;
  int32_t main_pid;
};
struct Exited {
  EndReason reason;
  int32_t wait_status;  ///< of the program, as wait(2) has it; 0 if it had not ended
  int64_t unix_ms;
  uint64_t cpu_us;
  uint64_t max_rss_kib;
};
struct Usage {
  uint64_t rss_bytes;
  uint64_t cpu_us;
  uint64_t pids;
};
struct Signal {
  int32_t number;
  Target target;
};

/// A program beside the main one: with its environment, limits and filters, and variables of its own.
struct Run {
  uint64_t bytes;  ///< of the memfd: argument, environment and directory records
  uint32_t id;     ///< chosen by the daemon, unlike those of other runs under way
  uint16_t rows, columns;
  uint32_t terminal;  ///< 1: a new terminal of the sandbox is its stdin, stdout and stderr
};
struct Ran {
  uint32_t id;
  Stage stage;  ///< `none` is success
  int32_t error;
  int32_t pid;  ///< inside
};
struct RunEnded {
  uint32_t id;
  int32_t wait_status;
};
/// To the run's process group.
struct RunSignal {
  uint32_t id;
  int32_t number;
};

struct Message {
  uint32_t version;
  MessageType type;
  uint16_t reserved;
  union {
    Hello hello;
    Started started;
    Exited exited;
    Usage usage;
    Signal signal;
    Run run;
    Ran ran;
    RunEnded run_ended;
    RunSignal run_signal;
    uint32_t count;     ///< sockets, want_sockets
    uint64_t bytes;     ///< configure: size of the memfd
    uint32_t grace_ms;  ///< stop
    uint64_t padding[8];
  };
};
static_assert(sizeof(Message) == 72);

/// All zeroes, so that nothing of the stack crosses over; `version` and `type` are set when it is sent.
inline Message blank_message() {
  Message message{};
  for (uint64_t& word : message.padding) word = 0;
  return message;
}

/// The configuration is a sequence of records: this header, `size` bytes, padding to 8 bytes.
enum class RecordKind : uint32_t {
  instance,     ///< 16 bytes
  argument,     ///< one of argv
  environment,  ///< `NAME=value`
  directory,    ///< working directory of the program
  limit,        ///< ResourceLimit
  filter,       ///< array of sock_filter; applied in this order
  listener,     ///< uint16_t port on 127.0.0.1
  logs,         ///< LogLimits
  reattach_ms,  ///< uint64_t
};
struct Record {
  RecordKind kind;
  uint32_t size;
};
struct ResourceLimit {
  uint32_t resource;
  uint32_t reserved;
  uint64_t soft, hard;
};
struct LogLimits {
  uint64_t file_bytes;
  uint32_t files;
  uint32_t reserved;
};

// The file `exit`: `<reason> <wait_status> <unix_ms> <cpu_us> <max_rss_kib>\n`, numbers in decimal, the reason
// as its number in EndReason. Written to a temporary name and renamed, before `exited` is sent.

}  // namespace gantry::shim
