// What `gantry exec` and the server say to each other in the two bodies of one HTTP exchange. Part of the door
// (core.h).
//
// A frame is one byte of type, four bytes of length (big-endian) and so many bytes. The client begins with
// `start`; the server answers 200 once the program runs, or a problem document, and ends with `exit`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/base.h"

namespace gantry::core {

inline constexpr std::string_view exec_media_type = "application/vnd.gantry.exec";
/// Bytes of one frame at most.
inline constexpr size_t max_exec_frame = size_t{1} << 20;

/// What a frame is; the numbers are those on the wire.
enum class ExecFrame : uint8_t {
  start = 1,         ///< JSON: command, env, directory, terminal {rows, columns}, instance
  input = 2,         ///< bytes of stdin
  end_of_input = 3,  ///< stdin is closed
  resize = 4,        ///< JSON: rows, columns
  signal = 5,        ///< one byte: the number, to the program's process group
  ping = 6,          ///< nothing; either side, so that nobody takes the other for dead
  output = 16,       ///< bytes of stdout, or of the terminal
  errors = 17,       ///< bytes of stderr
  exit = 18,         ///< JSON: code, signal, reason
};

/// One frame; the bytes are valid until the next call of the reader.
struct ExecMessage {
  ExecFrame type = ExecFrame::ping;
  std::string_view bytes;
};

/// The bytes of one frame. `bytes` is no longer than `max_exec_frame`.
std::string exec_frame(ExecFrame type, std::string_view bytes = {});

/// Takes frames out of a stream that comes in pieces.
class ExecFrameReader {
 public:
  void feed(std::string_view piece);
  /// The next whole frame, nullopt if there is none yet; `invalid` for one that is too long. Unknown types are
  /// skipped: a newer peer may know more.
  Result<std::optional<ExecMessage>> next();

 private:
  std::string bytes_;
  size_t used_ = 0;  // of `bytes_`, by frames that were returned
};

}  // namespace gantry::core
