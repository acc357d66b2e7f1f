#include "cli/spark.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace gantry::cli {

std::string sparkline(std::span<const double> values, size_t width, double ceiling) {
  static constexpr std::array<std::string_view, 8> blocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.size() > width) values = values.last(width);
  for (double value : values) ceiling = std::max(ceiling, value);
  std::string out(width - values.size(), ' ');
  for (double value : values) {
    const double share = ceiling > 0 ? std::clamp(value / ceiling, 0.0, 1.0) : 0;
    out += blocks[std::min(blocks.size() - 1, static_cast<size_t>(std::lround(share * (blocks.size() - 1))))];
  }
  return out;
}

void Histories::add(const std::string& name, double value) {
  History& history = all_[name];
  history.look = look_;
  history.values.push_back(value);
  if (history.values.size() > length_) history.values.pop_front();
}

void Histories::end_look() {
  std::erase_if(all_, [&](const auto& entry) { return entry.second.look != look_; });
}

std::string Histories::draw(const std::string& name, double ceiling) const {
  auto found = all_.find(name);
  if (found == all_.end()) return std::string(length_, ' ');
  const std::vector<double> values(found->second.values.begin(), found->second.values.end());
  return sparkline(values, length_, ceiling);
}

}  // namespace gantry::cli
