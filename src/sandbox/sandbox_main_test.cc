#include <gtest/gtest.h>

#include "sandbox/suite_host.h"

// The spawn process is this program, too: the driver executes /proc/self/exe.
int main(int count, char** arguments) {
  if (count == 2 && std::string_view(arguments[1]) == "__spawn") return gantry::sandbox::spawn_process_main(3);
  if (count == 4 && std::string_view(arguments[1]) == "__daemon")
    return gantry::sandbox::victim_daemon(arguments[2], arguments[3]);
  testing::InitGoogleTest(&count, arguments);
  return RUN_ALL_TESTS();
}
