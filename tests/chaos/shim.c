// Preloaded into the server by chaos.py: a disk that is slow and a wall clock that jumps, both steered through a small
// shared file while the server runs. Monotonic time stays true, as on a machine whose clock somebody sets. System calls
// of its own: the allocator asks for the time before there is a `dlsym`.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int64_t clock_offset_ns;
  volatile int64_t disk_delay_us;
};

static struct control nothing;
static struct control* control = &nothing;

__attribute__((constructor)) static void load(void) {
  const char* path = getenv("CHAOS_CONTROL");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* shared = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) control = shared;
  close(fd);
}

static void be_slow(void) {
  int64_t us = control->disk_delay_us;
  if (us > 0) usleep((useconds_t)us);
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  const int result = (int)syscall(SYS_clock_gettime, clock, out);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  int64_t ns = out->tv_sec * 1000000000LL + out->tv_nsec + control->clock_offset_ns;
  out->tv_sec = ns / 1000000000LL;
  out->tv_nsec = ns % 1000000000LL;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

int fdatasync(int fd) {
  be_slow();
  return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
  be_slow();
  return (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off_t offset) {
  if (control->disk_delay_us > 0) usleep((useconds_t)(control->disk_delay_us / 8));
  return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }
