// fuzz: json
// Whatever the parser accepts prints and reads back, compact, indented and canonical.
#include <cstddef>
#include <cstdint>

#include "json/json.h"

using namespace gantry;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: every object may be read through char.
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto value = json::parse(text);
  if (!value) {
    GANTRY_CHECK(value.error().code() == Code::invalid);
    return 0;
  }
  // A number without a fraction reads back as an integer, so texts are compared and not values.
  std::string compact = json::serialize(*value);
  GANTRY_CHECK(json::serialize(json::parse(compact).value()) == compact);
  GANTRY_CHECK(json::serialize(json::parse(json::pretty(*value)).value()) == compact);
  if (auto canonical = json::canonical(*value)) {
    auto again = json::canonical(json::parse(*canonical).value());
    GANTRY_CHECK(again.has_value() && *again == *canonical);
  }
  return 0;
}
