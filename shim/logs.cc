#include "shim/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/text.h"

namespace gantry::shim {
namespace {

constexpr size_t buffer_bytes = 64 * 1024;
constexpr size_t prefix_bytes = 32;  // time, letter, two spaces, line feed
constexpr uint64_t smallest_file = 2 * buffer_bytes;
constexpr uint32_t most_files = 99;

// A line that is not complete yet.
struct Partial {
  char text[max_line];
  size_t size;
};

LogLimits limits;
int file = -1;
uint64_t file_size;
// Static memory is not touched, and so not paid for, until the program writes.
char input[buffer_bytes];
char output[buffer_bytes];
size_t output_size;
Partial partials[2];

void open_current() {
  file = openat(logs_fd, current_log_name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct stat status;
  file_size = file >= 0 && fstat(file, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

// `1.log`, `2.log`, …
void rotated_name(uint32_t number, char (&name)[16]) {
  Text text(name, sizeof name - 1);
  text.add_number(number);
  text.add(".log");
  name[text.size()] = '\0';
}

void rotate() {
  char older[16];
  char newer[16];
  for (uint32_t number = limits.files - 1; number > 1; --number) {
    rotated_name(number, older);
    rotated_name(number - 1, newer);
    renameat(logs_fd, newer, logs_fd, older);
  }
  if (limits.files > 1) {
    rotated_name(1, older);
    renameat(logs_fd, current_log_name, logs_fd, older);
  } else {
    unlinkat(logs_fd, current_log_name, 0);
  }
  if (file >= 0) close(file);
  open_current();
}

// On a full disk the batch is dropped as a whole: half a line would be taken for the start of the next.
void flush() {
  if (output_size == 0) return;
  if (file_size + output_size > limits.file_bytes) rotate();
  if (file < 0) open_current();
  size_t done = 0;
  while (file >= 0 && done < output_size) {
    ssize_t wrote = write(file, output + done, output_size - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    done += static_cast<size_t>(wrote);
  }
  if (done == output_size)
    file_size += output_size;
  else if (file >= 0 && ftruncate(file, static_cast<off_t>(file_size)) != 0)
    file_size += done;
  output_size = 0;
}

void put_line(Stream stream, int64_t now, const Partial& line) {
  if (output_size + line.size + prefix_bytes > sizeof output) flush();
  Text text(output + output_size, sizeof output - output_size);
  text.add_number(static_cast<uint64_t>(now));
  text.add(stream == Stream::out ? " o " : " e ");
  text.add(line.text, line.size);
  text.add("\n");
  output_size += text.size();
}

void split(Stream stream, int64_t now, const char* bytes, size_t count) {
  Partial& line = partials[stream == Stream::out ? 0 : 1];
  while (count > 0) {
    size_t room = sizeof line.text - line.size;
    size_t span = count < room ? count : room;
    auto* feed = static_cast<const char*>(memchr(bytes, '\n', span));
    size_t taken = feed != nullptr ? static_cast<size_t>(feed - bytes) : span;
    memcpy(line.text + line.size, bytes, taken);
    line.size += taken;
    if (feed != nullptr || line.size == sizeof line.text) {
      put_line(stream, now, line);
      line.size = 0;
    }
    taken += feed != nullptr ? 1 : 0;
    bytes += taken;
    count -= taken;
  }
}

}  // namespace

void open_logs(const LogLimits& wanted) {
  limits = wanted;
  if (limits.file_bytes < smallest_file) limits.file_bytes = smallest_file;
  if (limits.files < 1) limits.files = 1;
  if (limits.files > most_files) limits.files = most_files;
  open_current();
}

Piped log_from(int pipe, Stream stream) {
  ssize_t got = read(pipe, input, sizeof input);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Piped::nothing : Piped::end;
  int64_t now = unix_ms();
  if (got > 0) {
    split(stream, now, input, static_cast<size_t>(got));
  } else {
    Partial& line = partials[stream == Stream::out ? 0 : 1];
    if (line.size > 0) put_line(stream, now, line);
    line.size = 0;
  }
  flush();
  return got > 0 ? Piped::data : Piped::end;
}

int64_t unix_ms() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace gantry::shim
