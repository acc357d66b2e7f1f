// The sends of one I/O thread, gathered while it works through its events and handed to the kernel by one call of
// io_uring. Private to net/.
//
// A send wakes its reader, and the scheduler then often takes the CPU from the sender to run it: a context switch for
// each message, while the next messages are about to be sent. Behind one call there is at most one. Where the kernel
// has no io_uring, or does not allow it, nothing is gathered and each write is a sendmsg of its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "net/stream.h"

namespace gantry::net {

class SendBatch {
 public:
  static constexpr size_t longest = size_t{16} << 10;  // longer ones go out at once: nothing is saved by a copy

  SendBatch();
  ~SendBatch();
  /// Takes a copy of what is gathered, to be sent before the thread waits for events again. False if it does not:
  /// then write it. `Stream::on_sent` tells what became of it.
  bool add(Stream& stream, const Gather& gather);
  /// Sends what is there. No coroutine runs in here.
  void flush();
  /// Forgets what is there: the thread has ended.
  void drop();

 private:
  struct Ring;
  struct Entry {
    StreamRef stream;
    size_t offset = 0;
    size_t size = 0;
    ssize_t result = 0;  ///< bytes, or the negative errno
  };

  void send_one(Entry& entry);
  void send_all();

  std::vector<Entry> entries_;
  std::vector<Entry> sending_;
  std::string bytes_;
  std::unique_ptr<Ring> ring_;
  bool usable_ = true;
};

}  // namespace gantry::net
