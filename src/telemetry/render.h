// How a line looks: pure functions from time, level, message and fields to text.
#pragma once

#include <span>
#include <string>

#include "telemetry/telemetry.h"

namespace gantry::telemetry {

/// What a line is made of besides its fields.
struct LineHead {
  Time time;
  Level level = Level::info;
  std::string_view message;
};

/// `,"agent":"bot","ms":12`: JSON members, each with a leading comma. Texts are cut at `max_text`.
std::string render_json_fields(std::span<const Field> fields, size_t max_text);
/// ` agent=bot ms=12`: each with a leading space, quoted where needed.
std::string render_text_fields(std::span<const Field> fields, size_t max_text);

/// `{"time":…,"level":…,"message":…<fields>}` and a newline.
std::string json_line(const LineHead& head, std::string_view fields, size_t max_text);
/// `2026-11-20T18:12:00.123Z info  message<fields>` and a newline. Control characters are escaped, so
/// that a line is one line and cannot steer a terminal.
std::string text_line(const LineHead& head, std::string_view fields, size_t max_text);

}  // namespace gantry::telemetry
