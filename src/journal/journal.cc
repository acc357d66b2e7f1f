#include "journal/journal.h"

namespace gantry::journal {

std::string_view to_string(SegmentState state) {
  switch (state) {
    case SegmentState::active:
      return "active";
    case SegmentState::sealed:
      return "sealed";
    case SegmentState::compressed:
      return "compressed";
  }
  return "active";
}

std::string_view to_string(Health health) {
  switch (health) {
    case Health::ready:
      return "ready";
    case Health::reserve:
      return "reserve";
    case Health::down:
      return "down";
  }
  return "down";
}

}  // namespace gantry::journal
