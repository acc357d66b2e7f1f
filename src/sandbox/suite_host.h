// What tests of drivers need around them: directories, an I/O thread, a way to wait. Test code only.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/use_future.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "sandbox/sandbox.h"

namespace gantry::sandbox {

/// How a suite makes the driver that it tests.
struct DriverCase {
  std::string name;
  std::function<std::unique_ptr<Driver>(DriverParts, DriverOptions)> make;
};

inline void PrintTo(const DriverCase& value, std::ostream* out) { *out << value.name; }

/// A daemon in a process of its own that starts one sandbox and waits to be killed: `__daemon ROOT ID`.
int victim_daemon(const std::string& root, const std::string& id);

/// A data directory of its own, an open driver and shorthands that block. The directory is 0700, as a home is.
class SuiteHost {
 public:
  explicit SuiteHost(const DriverCase& driver_case);
  ~SuiteHost();

  /// Runs a task on the I/O thread.
  template <class T>
  std::future<T> begin(Task<T> task) {
    return asio::co_spawn(threads_.context(0), std::move(task), asio::use_future);
  }
  /// The same, and waits for it.
  template <class T>
  T wait(Task<T> task) {
    return begin(std::move(task)).get();
  }

  /// A spec with small limits; `script` is what Python runs as /app/main.py.
  Spec python(std::string name, std::string_view script);
  /// The same for `/bin/sh -c`.
  Spec shell(std::string name, std::string script);

  Result<std::shared_ptr<Sandbox>> try_start(Spec spec) { return wait(driver->start(std::move(spec))); }
  /// Starts or fails the test.
  std::shared_ptr<Sandbox> start(Spec spec);
  /// Runs to the end and returns what was printed on stdout and stderr, a line each.
  std::string run(Spec spec, ExitInfo* exit = nullptr);
  std::string output(const Spec& spec);
  /// Waits until the output contains `text`.
  bool wait_for_output(const Spec& spec, std::string_view text);
  /// Sends an HTTP/1.0 GET to a port inside and returns everything that is answered.
  Result<std::string> get(Sandbox& box, uint16_t port, const std::string& path = "/");
  /// Dials until somebody listens.
  Result<os::Fd> dial_when_ready(Sandbox& box, uint16_t port);

  /// A new driver on the same directories, as after a restart of the daemon.
  void reopen();
  void open();

  static bool eventually(const std::function<bool()>& condition);

  SystemClock clock;
  SystemRandom random;
  std::filesystem::path root;
  std::unique_ptr<Driver> driver;
  DriverOptions options;

 private:
  Spec base(std::string name);
  DriverCase case_;
  IoThreads threads_{1};
};

}  // namespace gantry::sandbox
