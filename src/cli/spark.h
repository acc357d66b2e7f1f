// A history in one line of blocks: ▁▂▃▄▅▆▇█.
#pragma once

#include <deque>
#include <map>
#include <span>
#include <string>

namespace gantry::cli {

/// One block for each value, the last `width` of them, to the right; `ceiling` or the largest is a whole block.
std::string sparkline(std::span<const double> values, size_t width, double ceiling);

/// The latest values of many things, by name: what a live table remembers between two looks.
class Histories {
 public:
  explicit Histories(size_t length) : length_(length) {}
  /// Begins a look; what gets no value in it is forgotten with `end_look`.
  void begin_look() { ++look_; }
  void add(const std::string& name, double value);
  void end_look();
  std::string draw(const std::string& name, double ceiling) const;

 private:
  struct History {
    std::deque<double> values;
    size_t look = 0;
  };
  size_t length_;
  size_t look_ = 0;
  std::map<std::string, History> all_;
};

}  // namespace gantry::cli
