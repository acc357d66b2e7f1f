// docs/reference/config.md is made from the table; UPDATE_GOLDEN=1 writes it again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/config.h"

namespace gantry::config {
namespace {

// The file beside this source: __FILE__ is relative to the source directory, so it is looked for upwards.
std::filesystem::path reference_page() {
  for (auto folder = std::filesystem::current_path();; folder = folder.parent_path()) {
    if (std::filesystem::exists(folder / "docs" / "reference")) return folder / "docs" / "reference" / "config.md";
    if (folder == folder.parent_path()) return {};
  }
}

constexpr std::string_view heading =
    "# Configuration\n\n"
    "Precedence, highest first: flag, `GANTRY_*` variable, project file (`.gantry.yaml` in the working directory or a\n"
    "parent), user file (`~/.config/gantry/config.yaml`), default. `gantry config view --origin` shows where each "
    "value\n"
    "came from. This page is made from the table of options in `src/config`.\n\n";

TEST(Reference, HoldsEveryOptionAsTheTableHasIt) {
  auto page = reference_page();
  ASSERT_FALSE(page.empty()) << "run it below the source directory";
  std::string wanted = std::string(heading) + schema_markdown();
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(page) << wanted;
  std::ifstream file(page);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, wanted) << "run UPDATE_GOLDEN=1 config_test";
}

}  // namespace
}  // namespace gantry::config
