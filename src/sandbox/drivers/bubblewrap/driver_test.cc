#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/driver_suite.h"

namespace gantry::sandbox {
namespace {

std::unique_ptr<Driver> make(DriverParts parts, DriverOptions options) {
  return make_bubblewrap_driver(parts, std::move(options));
}

const DriverCase bubblewrap_case{"bubblewrap", &make};

INSTANTIATE_TEST_SUITE_P(Bubblewrap, DriverSuite, testing::Values(bubblewrap_case),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gantry::sandbox
