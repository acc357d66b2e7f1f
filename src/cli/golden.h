// Golden files of tests/golden/cli: what is printed, byte for byte. UPDATE_GOLDEN=1 rewrites them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace gantry::cli {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Compares with a file below the root of the sources.
inline void expect_file(const std::filesystem::path& relative, const std::string& actual) {
  std::filesystem::path path = std::filesystem::path(GANTRY_SOURCE_DIR) / relative;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << actual;
    return;
  }
  EXPECT_EQ(actual, read_text(path)) << relative << "; UPDATE_GOLDEN=1 rewrites it";
}

inline void expect_golden(const std::string& name, const std::string& actual) {
  expect_file(std::filesystem::path("tests/golden/cli") / name, actual);
}

}  // namespace gantry::cli
