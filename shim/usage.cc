#include "shim/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/text.h"

namespace gantry::shim {
namespace {

// getdents64(2); the entry type of the kernel, as musl's readdir would need malloc.
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];
};

uint64_t to_us(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_usec);
}

// Adds one process from proc(5): fields 14 and 15 of `stat` are ticks, 24 is resident pages.
void add_process(int proc, const char* pid, Usage& usage) {
  char path[32];
  Text name(path, sizeof path - 1);
  name.add(pid);
  name.add("/stat");
  path[name.size()] = '\0';
  int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  char stat[1024];
  ssize_t got = read(file, stat, sizeof stat - 1);
  close(file);
  if (got <= 0) return;
  stat[got] = '\0';
  // The name of the program is in parentheses and may contain spaces and parentheses.
  const char* at = strrchr(stat, ')');
  if (at == nullptr) return;
  uint64_t ticks = 0;
  uint64_t pages = 0;
  for (int field = 2; *at != '\0' && field < 24; ++field) {
    at = strchr(at, ' ');
    if (at == nullptr) return;
    ++at;
    const char* digits = at;
    uint64_t value = take_number(digits);
    if (field + 1 == 14 || field + 1 == 15) ticks += value;
    if (field + 1 == 24) pages = value;
  }
  usage.cpu_us += ticks * (1000000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
  usage.rss_bytes += pages * static_cast<uint64_t>(getpagesize());
  usage.pids += 1;
}

}  // namespace

Usage measure_usage() {
  Usage usage{};
  rusage ended;
  if (getrusage(RUSAGE_CHILDREN, &ended) == 0) usage.cpu_us = to_us(ended.ru_utime) + to_us(ended.ru_stime);
  int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return usage;
  alignas(Entry) static char buffer[8192];
  for (;;) {
    long got = syscall(SYS_getdents64, proc, buffer, sizeof buffer);
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      // SAFETY: the kernel wrote whole, aligned entries.
      auto* entry = reinterpret_cast<Entry*>(buffer + at);
      if (entry->name[0] >= '1' && entry->name[0] <= '9' && strcmp(entry->name, "1") != 0)
        add_process(proc, entry->name, usage);
      at += entry->size;
    }
  }
  close(proc);
  return usage;
}

}  // namespace gantry::shim
