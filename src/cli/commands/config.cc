// config view, get, set, reset.
#include <fmt/format.h>

#include <algorithm>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gantry::cli {
namespace {

/// The option with that name, written with `-` or `_`.
Result<const config::Option*> option_of(const std::string& key) {
  std::string name = key;
  std::ranges::replace(name, '-', '_');
  if (const config::Option* option = config::find_option(name)) return option;
  std::vector<std::string_view> names;
  for (const auto& option : config::schema()) names.push_back(option.name);
  std::string near = did_you_mean(name, names);
  return std::unexpected(Error(Code::not_found, fmt::format("there is no setting '{}'", key))
                             .with_hint(near.empty() ? "gantry config view" : near));
}

json::Object setting_json(const config::Setting& setting) {
  return {{"key", setting.option->name},
          {"value", setting.value},
          {"level", config::to_string(setting.level)},
          {"origin", setting.origin}};
}

Result<config::Setting> setting_of(Session& session, const config::Option& option) {
  GANTRY_TRY(const config::Config* settings, session.config());
  for (auto& setting : settings->settings())
    if (setting.option->name == option.name) return setting;
  return fail(Code::not_found, "there is no setting '{}'", option.name);
}

/// The file that `set` and `reset` change.
std::filesystem::path file_to_change(Session& session) {
  Environment& environment = session.environment();
  if (!session.given().has("--project"))
    return config::user_file_path(
        {.environment = environment.variable, .working_directory = environment.working_directory});
  // The project file that holds here; a new one begins in the working directory.
  auto settings = session.config();
  if (settings && (*settings)->project_file()) return *(*settings)->project_file();
  return environment.working_directory / ".gantry.yaml";
}

void print_change(Session& session, json::Object result, const std::string& words) {
  session.print_value(std::move(result), "key", [&](const json::Value&) { return words + "\n"; });
}

}  // namespace

Result<int> run_config_view(Session& session) {
  GANTRY_TRY(const config::Config* settings, session.config());
  json::Array rows;
  for (const auto& setting : settings->settings()) rows.push_back(setting_json(setting));
  Listing listing{{text_column("KEY", "key"), text_column("VALUE", "value")}, "key", "no settings"};
  if (session.given().has("--origin")) listing.columns.push_back(text_column("ORIGIN", "origin"));
  session.print_listing(listing, rows);
  return 0;
}

Result<int> run_config_get(Session& session) {
  GANTRY_TRY(const config::Option* option, option_of(session.given().required("KEY")));
  GANTRY_TRY(config::Setting setting, setting_of(session, *option));
  session.print_value(setting_json(setting), "key", [&](const json::Value&) { return setting.value + "\n"; });
  return 0;
}

Result<int> run_config_set(Session& session) {
  GANTRY_TRY(const config::Option* option, option_of(session.given().required("KEY")));
  const std::string& value = session.given().required("VALUE");
  if (auto checked = config::check_value(*option, value); !checked)
    return std::unexpected(std::move(checked)
                               .error()
                               .wrap(option->name)
                               .with_hint(fmt::format("gantry config get {} shows what holds now", option->name)));
  std::filesystem::path file = file_to_change(session);
  GANTRY_TRY_VOID(config::set_value(file, option->name, value));
  std::string shown = option->secrecy == config::Secrecy::secret ? std::string(telemetry::redacted) : value;
  print_change(session, {{"key", option->name}, {"value", shown}, {"file", file.string()}},
               fmt::format("{} is {} in {}", option->name, shown, file.string()));
  return 0;
}

Result<int> run_config_reset(Session& session) {
  auto key = session.given().argument("KEY");
  const bool all = session.given().has("--all");
  if (all == key.has_value()) {
    return std::unexpected(Error(ErrorId::GR0801, all ? "give either a key or --all, not both" : "KEY is missing")
                               .with_hint("gantry config view --origin"));
  }
  std::filesystem::path file = file_to_change(session);
  if (all) {
    GANTRY_TRY_VOID(session.confirm(fmt::format("Remove all settings from {}?", file.string())));
    GANTRY_TRY_VOID(config::reset_all(file));
    print_change(session, {{"key", nullptr}, {"removed", true}, {"file", file.string()}},
                 fmt::format("no settings in {} any more", file.string()));
    return 0;
  }
  GANTRY_TRY(const config::Option* option, option_of(*key));
  GANTRY_TRY(bool removed, config::reset_value(file, option->name));
  print_change(session, {{"key", option->name}, {"removed", removed}, {"file", file.string()}},
               removed ? fmt::format("{} removed from {}", option->name, file.string())
                       : fmt::format("{} was not set in {}", option->name, file.string()));
  return 0;
}

}  // namespace gantry::cli
