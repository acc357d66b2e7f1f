#include "core/exec_frames.h"

namespace gantry::core {
namespace {

constexpr size_t head_bytes = 5;

bool is_known(uint8_t type) {
  return (type >= static_cast<uint8_t>(ExecFrame::start) && type <= static_cast<uint8_t>(ExecFrame::ping)) ||
         (type >= static_cast<uint8_t>(ExecFrame::output) && type <= static_cast<uint8_t>(ExecFrame::exit));
}

}  // namespace

std::string exec_frame(ExecFrame type, std::string_view bytes) {
  GANTRY_CHECK(bytes.size() <= max_exec_frame);
  std::string frame(1, static_cast<char>(type));
  for (int shift : {24, 16, 8, 0}) frame += static_cast<char>(bytes.size() >> shift & 0xff);
  frame += bytes;
  return frame;
}

void ExecFrameReader::feed(std::string_view piece) {
  bytes_.erase(0, used_);
  used_ = 0;
  bytes_ += piece;
}

Result<std::optional<ExecMessage>> ExecFrameReader::next() {
  for (;;) {
    const std::string_view rest = std::string_view(bytes_).substr(used_);
    if (rest.size() < head_bytes) return std::nullopt;
    size_t size = 0;
    for (size_t i = 1; i < head_bytes; ++i) size = size << 8 | static_cast<uint8_t>(rest[i]);
    if (size > max_exec_frame)
      return fail(Code::invalid, "a frame of {} bytes, at most {} are allowed", size, max_exec_frame);
    if (rest.size() < head_bytes + size) return std::nullopt;
    used_ += head_bytes + size;
    const auto type = static_cast<uint8_t>(rest[0]);
    if (is_known(type)) return ExecMessage{static_cast<ExecFrame>(type), rest.substr(head_bytes, size)};
  }
}

}  // namespace gantry::core
