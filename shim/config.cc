#include "shim/config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gantry::shim {
namespace {

constexpr size_t instruction_bytes = 8;  // sizeof(sock_filter)
constexpr uint64_t max_bytes = 16ULL << 20;

// A string record includes its terminating zero.
bool is_text(const char* body, uint32_t size) { return size > 0 && body[size - 1] == '\0'; }

template <class T>
bool copy_exactly(const char* body, uint32_t size, T& out) {
  if (size != sizeof out) return false;
  memcpy(&out, body, sizeof out);
  return true;
}

bool add_text(char** list, size_t& count, char* body, uint32_t size) {
  if (!is_text(body, size) || count == max_strings) return false;
  list[count++] = body;
  return true;
}

bool add_filter(Config& config, const char* body, uint32_t size) {
  uint32_t count = size / instruction_bytes;
  if (config.filter_count == max_filters || size % instruction_bytes != 0 || count == 0 || count > UINT16_MAX)
    return false;
  config.filters[config.filter_count++] = {body, static_cast<uint16_t>(count)};
  return true;
}

bool take_record(Config& config, RecordKind kind, char* body, uint32_t size) {
  switch (kind) {
    case RecordKind::instance:
      return copy_exactly(body, size, config.instance);
    case RecordKind::argument:
      return add_text(config.arguments, config.argument_count, body, size);
    case RecordKind::environment:
      return add_text(config.environment, config.environment_count, body, size);
    case RecordKind::directory:
      config.directory = body;
      return is_text(body, size);
    case RecordKind::limit:
      return config.limit_count < max_limits && copy_exactly(body, size, config.limits[config.limit_count++]);
    case RecordKind::filter:
      return add_filter(config, body, size);
    case RecordKind::listener:
      return config.listener_count < max_listeners &&
             copy_exactly(body, size, config.listeners[config.listener_count++]);
    case RecordKind::logs:
      return copy_exactly(body, size, config.logs);
    case RecordKind::reattach_ms:
      return copy_exactly(body, size, config.reattach_ms);
  }
  return false;
}

// Of `NAME=value` texts.
bool same_name(const char* one, const char* two) {
  for (; *one == *two; ++one, ++two)
    if (*one == '=' || *one == '\0') return true;
  return false;
}

}  // namespace

int read_config(int fd, uint64_t bytes, Config& config) {
  if (fd < 0) return EINVAL;
  if (bytes == 0 || bytes > max_bytes) {
    close(fd);
    return EINVAL;
  }
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  int error = errno;
  close(fd);
  if (mapping == MAP_FAILED) return error;
  config.mapping = mapping;
  config.mapped_bytes = bytes;
  char* at = static_cast<char*>(mapping);
  uint64_t left = bytes;
  while (left >= sizeof(Record)) {
    Record record;
    memcpy(&record, at, sizeof record);
    uint64_t whole = (sizeof record + static_cast<uint64_t>(record.size) + 7) & ~7ULL;
    if (whole > left || !take_record(config, record.kind, at + sizeof record, record.size)) return EINVAL;
    at += whole;
    left -= whole;
  }
  return config.argument_count > 0 && config.directory != nullptr ? 0 : EINVAL;
}

void release_config(Config& config) {
  if (config.mapping != nullptr) munmap(config.mapping, config.mapped_bytes);
  // The lists are long and mostly untouched: only what was used is cleared, so that the rest takes no memory.
  memset(config.arguments, 0, config.argument_count * sizeof(char*));
  memset(config.environment, 0, config.environment_count * sizeof(char*));
  config.argument_count = config.environment_count = config.limit_count = config.filter_count = 0;
  config.listener_count = config.mapped_bytes = 0;
  config.directory = nullptr;
  config.mapping = nullptr;
}

int inherit_config(Config& run, const Config& main) {
  memcpy(run.limits, main.limits, sizeof run.limits);
  run.limit_count = main.limit_count;
  memcpy(run.filters, main.filters, sizeof run.filters);
  run.filter_count = main.filter_count;
  const size_t own = run.environment_count;
  for (size_t i = 0; i < main.environment_count; ++i) {
    bool is_set = false;
    for (size_t j = 0; j < own && !is_set; ++j) is_set = same_name(run.environment[j], main.environment[i]);
    if (is_set) continue;
    if (run.environment_count == max_strings) return E2BIG;
    run.environment[run.environment_count++] = main.environment[i];
  }
  return 0;
}

}  // namespace gantry::shim
