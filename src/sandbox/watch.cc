#include "sandbox/watch.h"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

namespace gantry::sandbox {

struct WatchedFd::Registration {
  Registration(const Executor& executor, int fd) : descriptor(executor, fd) {}
  asio::posix::basic_stream_descriptor<Executor> descriptor;
};

WatchedFd::WatchedFd(const Executor& executor, os::Fd fd)
    : registration_(std::make_unique<Registration>(executor, fd.get())), fd_(std::move(fd)) {}

WatchedFd::~WatchedFd() {
  // Asio must not close what Fd owns.
  if (registration_) registration_->descriptor.release();
}

Task<bool> WatchedFd::readable() {
  auto [error] = co_await registration_->descriptor.async_wait(asio::posix::descriptor_base::wait_read, use_tuple);
  co_return !error;
}

Task<bool> WatchedFd::writable() {
  auto [error] = co_await registration_->descriptor.async_wait(asio::posix::descriptor_base::wait_write, use_tuple);
  co_return !error;
}

void WatchedFd::cancel() {
  boost::system::error_code ignored;
  registration_->descriptor.cancel(ignored);
}

os::Fd WatchedFd::release() {
  registration_->descriptor.release();
  registration_.reset();
  return std::move(fd_);
}

}  // namespace gantry::sandbox
