#include "cli/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>

#include "os/os.h"

namespace gantry::cli {
namespace {

Result<Checked> read_source(Session& session, const std::string& file) {
  Environment& environment = session.environment();
  Checked checked;
  if (file == "-") {
    checked.source.file = "stdin";
    std::string& text = checked.source.text;
    // One byte beyond the bound is enough for the parser to say so.
    text.resize(core::max_source_size.count + 1);
    environment.in->read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(environment.in->gcount()));
    checked.base = environment.working_directory;
  } else {
    std::filesystem::path path = environment.working_directory / file;
    GANTRY_TRY(checked.source.text, os::read_file(path, core::max_source_size));
    checked.source.file = file;
    checked.base = path.parent_path();
  }
  checked.parsed = core::parse_resources(checked.source, options_for(environment, checked.base));
  return checked;
}

}  // namespace

core::ParseOptions options_for(const Environment& environment, std::filesystem::path base) {
  core::ParseOptions options{.environment = environment.variable};
  options.check_workdir = [base = std::move(base)](std::string_view workdir) -> std::optional<core::Complaint> {
    const std::filesystem::path place = (base / workdir).lexically_normal();
    std::error_code failure;
    if (std::filesystem::is_directory(place, failure)) return std::nullopt;
    const bool exists = std::filesystem::exists(place, failure);
    return core::Complaint{fmt::format("{} {}", workdir, exists ? "is no directory" : "does not exist"),
                           fmt::format("name a directory with the program; this one would be {}", place.string())};
  };
  return options;
}

Result<std::vector<Checked>> read_sources(Session& session, const std::vector<std::string>& files) {
  std::vector<Checked> all;
  for (const auto& file : files) {
    auto checked = read_source(session, file);
    if (!checked) {
      std::error_code ignored;
      const bool is_directory = std::filesystem::is_directory(session.environment().working_directory / file, ignored);
      return std::unexpected(std::move(checked).error().wrap(file).with_hint(
          is_directory
              ? fmt::format("name a file in it, such as {}", (std::filesystem::path(file) / "agents.yaml").string())
              : "name a YAML or JSON file that can be read, or - for standard input"));
    }
    all.push_back(std::move(*checked));
  }
  return all;
}

bool has_errors(const std::vector<Checked>& all) {
  return std::ranges::any_of(all, [](const Checked& one) { return core::has_errors(one.parsed.diagnostics); });
}

json::Object verdict(const std::vector<Checked>& all) {
  json::Array diagnostics;
  size_t resources = 0;
  for (const Checked& checked : all) {
    resources += checked.parsed.agents.size();
    for (const auto& diagnostic : checked.parsed.diagnostics)
      diagnostics.push_back(core::to_json(diagnostic, checked.source));
  }
  return {{"valid", !has_errors(all)}, {"resources", resources}, {"diagnostics", std::move(diagnostics)}};
}

void tell_mistakes(Session& session, const std::vector<Checked>& all) {
  if (!session.for_people() && has_errors(all))
    return session.print(render_value(verdict(all), session.format(), "valid"));
  for (const Checked& checked : all)
    if (session.for_people() && !checked.parsed.diagnostics.empty())
      session.say(core::render_all(checked.parsed.diagnostics, checked.source));
}

}  // namespace gantry::cli
