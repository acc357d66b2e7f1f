#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "config/files.h"

namespace gantry::config {
namespace {

std::string variable(const LoadOptions& options, std::string_view name) {
  return options.environment ? options.environment(name).value_or("") : "";
}

// Collects one value for each option, lowest level first, and every mistake on the way.
class Loader {
 public:
  explicit Loader(const LoadOptions& options) : options_(options), home_(variable(options, "HOME")) {
    for (const Option& option : schema())
      settings_.push_back({&option, expand(option, option.fallback), Level::fallback, "default"});
  }

  // Mistakes are collected; only a file that cannot be read at all ends the load.
  Result<> read_file(const std::filesystem::path& file, Level level) {
    GANTRY_TRY(auto text, read_text(file));
    if (!text) return {};
    if (level == Level::project && !is_trusted(file)) return {};
    for (const FileEntry& entry : parse_entries(file, *text, mistakes_)) {
      std::string place = fmt::format("{}:{}", file.string(), entry.line);
      const Option* option = find_option(entry.key);
      if (!option) {
        mistakes_.push_back(fmt::format("{}: {}", place, unknown(entry.key)));
      } else if (level == Level::project && option->secrecy == Secrecy::secret) {
        mistakes_.push_back(fmt::format("{}: {}: a secret does not belong into a project file; use {} or the user file",
                                        place, entry.key, option->environment));
      } else {
        set(*option, entry.value, level, place);
      }
    }
    return {};
  }

  void read_environment() {
    for (const Option& option : schema()) {
      std::string value = variable(options_, option.environment);
      // An empty variable counts as unset, as `GANTRY_URL= gantry list` means.
      if (!value.empty()) set(option, value, Level::environment, std::string(option.environment));
    }
  }

  void read_flags() {
    for (const auto& [name, value] : options_.flags) {
      const Option* option = find_option(name);
      GANTRY_CHECK(option != nullptr);
      set(*option, value, Level::flag, flag_name(*option) + " flag");
    }
  }

  std::vector<Setting> take() { return std::move(settings_); }
  const std::vector<std::string>& mistakes() const { return mistakes_; }

 private:
  static std::string unknown(const std::string& key) {
    std::vector<std::string_view> names;
    for (const Option& option : schema()) names.push_back(option.name);
    auto near = closest(key, names);
    std::string proposal = near ? fmt::format("did you mean '{}'?", *near) : "gantry config view lists all";
    return fmt::format("there is no option '{}'; {}", key.substr(0, 64), proposal);
  }

  // A file in a folder that others can write to could send the key to a server of theirs.
  bool is_trusted(const std::filesystem::path& file) {
    struct stat status{};
    if (::stat(file.c_str(), &status) == 0 && (status.st_uid == ::geteuid() || status.st_uid == 0)) return true;
    mistakes_.push_back(
        fmt::format("{}: the file belongs to another user; take it over with chown, or remove it", file.string()));
    return false;
  }

  // `~/` is for files and variables that no shell has seen.
  std::string expand(const Option& option, std::string_view value) const {
    if (option.type != Type::path || home_.empty()) return std::string(value);
    if (value == "~") return home_;
    return value.starts_with("~/") ? home_ + std::string(value.substr(1)) : std::string(value);
  }

  // A later call is a higher level. A wrong value leaves the one below in place: the load fails anyway.
  void set(const Option& option, std::string_view value, Level level, std::string origin) {
    if (auto checked = check_value(option, value); !checked) {
      mistakes_.push_back(fmt::format("{}: {}: {}", origin, option.name, checked.error().reason()));
      return;
    }
    auto at = std::ranges::find(settings_, &option, &Setting::option);
    *at = {&option, expand(option, value), level, std::move(origin)};
  }

  const LoadOptions& options_;
  std::string home_;
  std::vector<Setting> settings_;
  std::vector<std::string> mistakes_;
};

// `.gantry.yaml` in the working directory or the nearest parent; the home directory is the last one.
std::optional<std::filesystem::path> find_project_file(const LoadOptions& options) {
  std::filesystem::path home = variable(options, "HOME");
  for (std::filesystem::path folder = options.working_directory; !folder.empty(); folder = folder.parent_path()) {
    std::error_code code;
    if (auto file = folder / ".gantry.yaml"; std::filesystem::exists(file, code)) return file;
    if (folder == home || folder == folder.root_path()) break;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::flag:
      return "flag";
    case Level::environment:
      return "environment";
    case Level::project:
      return "project";
    case Level::user:
      return "user";
    case Level::fallback:
      return "default";
  }
  return "default";
}

std::filesystem::path user_file_path(const LoadOptions& options) {
  // XDG Base Directory Specification: a relative path is invalid and ignored.
  std::filesystem::path base = variable(options, "XDG_CONFIG_HOME");
  if (!base.is_absolute()) base = std::filesystem::path(variable(options, "HOME")) / ".config";
  return base / "gantry" / "config.yaml";
}

Result<Config> load(const LoadOptions& options) {
  Config config;
  Loader loader(options);
  config.user_file_ = user_file_path(options);
  config.project_file_ = find_project_file(options);
  GANTRY_TRY_VOID(loader.read_file(config.user_file_, Level::user));
  if (config.project_file_) GANTRY_TRY_VOID(loader.read_file(*config.project_file_, Level::project));
  loader.read_environment();
  loader.read_flags();
  if (!loader.mistakes().empty()) return fail(ErrorId::GR0701, "{}", fmt::join(loader.mistakes(), "\n"));
  config.settings_ = loader.take();
  return config;
}

const Setting& Config::get(std::string_view name) const {
  auto at = std::ranges::find(settings_, name, [](const Setting& setting) { return setting.option->name; });
  GANTRY_CHECK(at != settings_.end());
  return *at;
}

const std::string& Config::text(std::string_view name) const {
  const Setting& setting = get(name);
  GANTRY_CHECK(setting.option->secrecy == Secrecy::open);
  return setting.value;
}

// The values were checked when they were loaded, so these conversions cannot fail.
int64_t Config::integer(std::string_view name) const {
  const Setting& setting = get(name);
  GANTRY_CHECK(setting.option->type == Type::integer);
  return std::stoll(setting.value);
}

Bytes Config::size(std::string_view name) const {
  const Setting& setting = get(name);
  GANTRY_CHECK(setting.option->type == Type::size);
  return parse_bytes(setting.value).value();
}

Duration Config::duration(std::string_view name) const {
  const Setting& setting = get(name);
  GANTRY_CHECK(setting.option->type == Type::duration);
  return parse_duration(setting.value).value();
}

telemetry::Secret Config::secret(std::string_view name) const {
  const Setting& setting = get(name);
  GANTRY_CHECK(setting.option->secrecy == Secrecy::secret);
  return telemetry::Secret(setting.value);
}

bool Config::is_set(std::string_view name) const { return get(name).level != Level::fallback; }
const std::string& Config::origin(std::string_view name) const { return get(name).origin; }

std::vector<Setting> Config::settings() const {
  std::vector<Setting> shown = settings_;
  for (Setting& setting : shown)
    if (setting.option->secrecy == Secrecy::secret && !setting.value.empty()) setting.value = telemetry::redacted;
  return shown;
}

}  // namespace gantry::config
