#include "cli/keys.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "cli/interrupt.h"

namespace gantry::cli {
namespace {

constexpr char escape = 27;

class TerminalKeys final : public Keys {
 public:
  explicit TerminalKeys(const termios& before) : before_(before) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    // SAFETY: a plain system call on a terminal.
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  ~TerminalKeys() override { ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_); }

  KeyPress wait(Duration patience) override {
    if (interrupt_.raised()) return {KeyPress::Kind::interrupted};
    pollfd stdin_ready{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const auto ms = std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(patience).count());
    // SAFETY: one pollfd; a signal ends the wait, because it is installed without SA_RESTART.
    const int ready = ::poll(&stdin_ready, 1, static_cast<int>(std::min<int64_t>(ms, 3'600'000)));
    if (interrupt_.raised()) return {KeyPress::Kind::interrupted};
    if (ready <= 0) return {};
    std::array<char, 16> bytes;
    const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    // The terminal is gone.
    if (got == 0) return {KeyPress::Kind::interrupted};
    if (got < 0) return {};
    // An arrow comes as several bytes that begin like Escape; it means nothing here.
    if (bytes[0] == escape && got > 1) return {};
    return {KeyPress::Kind::key, static_cast<char>(std::tolower(static_cast<unsigned char>(bytes[0])))};
  }

  Size size() const override {
    winsize size{};
    // SAFETY: TIOCGWINSZ writes one winsize.
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
    return {size.ws_col, size.ws_row};
  }

 private:
  termios before_;
  InterruptFlag interrupt_;
};

}  // namespace

Result<std::unique_ptr<Keys>> open_terminal_keys() {
  termios before{};
  // SAFETY: tcgetattr writes one termios.
  if (::tcgetattr(STDIN_FILENO, &before) != 0) return fail(Code::unsupported, "standard input is no terminal");
  return std::make_unique<TerminalKeys>(before);
}

}  // namespace gantry::cli
