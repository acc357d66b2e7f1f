#include "shim/probe.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shim/text.h"

namespace gantry::shim {
namespace {

constexpr const char* spaces[] = {"user", "pid", "mnt", "ipc", "uts", "cgroup", "net"};

void add_namespace(Text& out, const char* name) {
  char path[64];
  Text text(path, sizeof path - 1);
  text.add("/proc/self/ns/");
  text.add(name);
  path[text.size()] = '\0';
  char target[64];
  ssize_t size = readlink(path, target, sizeof target);
  if (size <= 0) return;
  out.add(name);
  out.add(" ");
  out.add(target, static_cast<size_t>(size));
  out.add("\n");
}

void add_seccomp(Text& out) {
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  char status[4096];
  ssize_t size = read(file, status, sizeof status - 1);
  close(file);
  if (size <= 0) return;
  status[size] = '\0';
  constexpr char field[] = "\nSeccomp:\t";
  const char* at = strstr(status, field);
  if (at == nullptr) return;
  at += sizeof field - 1;
  out.add("seccomp ");
  out.add(at, 1);
  out.add("\n");
}

}  // namespace

int print_probe() {
  char buffer[1024];
  Text out(buffer, sizeof buffer);
  for (const char* name : spaces) add_namespace(out, name);
  add_seccomp(out);
  return write(STDOUT_FILENO, buffer, out.size()) == static_cast<ssize_t>(out.size()) ? 0 : 1;
}

}  // namespace gantry::shim
