// What nearly every source of Gantry parses and none of them owns: parsed once, for the folders without Asio.
//
// Only headers of the standard library and of other projects: a header of ours in here would recompile everything with
// each change. Sources still include what they use; this file is never named in one.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
