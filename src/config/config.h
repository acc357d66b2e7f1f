// Configuration: typed options from one table, and where each value came from.
//
// Precedence, highest first: flag, `GANTRY_*` variable, project file (`.gantry.yaml` in the working
// directory or the nearest parent, up to the home directory), user file
// (`$XDG_CONFIG_HOME/gantry/config.yaml`), default. The table `schema()` is the only list of options:
// the loader, `gantry config`, and docs/reference/config.md are made from it. An unknown key in a file
// is an error with file, line and "did you mean".
//
// A `Config` is an immutable value, loaded once by `main` and passed down. The loader reads two small
// files; otherwise only `set_value` and the `reset` functions do I/O. Secrets are `telemetry::Secret`.
//
// A project file comes with a checkout and may be written by anybody, so it cannot hold a secret, and
// one that belongs to another user is refused.
//
// Example:
//
//   GANTRY_TRY(Config config, config::load({.flags = {{"data", "/srv/gantry"}}, .environment = lookup, …}));
//   std::string data = config.text("data");            // /srv/gantry
//   std::string origin = config.origin("data");        // --data flag
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "telemetry/telemetry.h"

namespace gantry::config {

/// What a value must look like; sizes, durations and integers also have a range.
enum class Type { text, path, address, url, integer, size, duration, choice };
std::string_view to_string(Type type);
/// Whether a value may be shown.
enum class Secrecy { open, secret };

/// Whether a command takes the option as a flag; a test of the command table holds both together.
enum class OnCommandLine { flag, none };

/// One row of the table. All texts have static lifetime.
struct Option {
  std::string_view name;  ///< key in files: `log_level`; the flag is `--log-level`
  Type type;
  std::string_view fallback;     ///< the default, spelled as in a file; `~/` is the home directory
  std::string_view environment;  ///< `GANTRY_LOG_LEVEL`
  std::string_view description;  ///< one sentence
  Secrecy secrecy = Secrecy::open;
  std::string_view choices = {};  ///< of a choice: `json|text`
  int64_t least = 0;              ///< of an integer, a size in bytes or a duration in ns
  int64_t most = INT64_MAX;
  OnCommandLine on_command_line = OnCommandLine::flag;
};

/// All options, sorted by name.
std::span<const Option> schema();
/// The option with that name; nullptr if there is none.
const Option* find_option(std::string_view name);
/// `--log-level` for `log_level`.
std::string flag_name(const Option& option);
/// The reference page: one table row an option.
std::string schema_markdown();
/// Checks a spelled value against an option; the reason says what would be right.
Result<> check_value(const Option& option, std::string_view value);

/// Where a value was set.
enum class Level { flag, environment, project, user, fallback };
std::string_view to_string(Level level);

/// One value and its origin.
struct Setting {
  const Option* option = nullptr;
  std::string value;  ///< as spelled there; paths with `~/` expanded
  Level level = Level::fallback;
  std::string origin;  ///< `--data flag`, `GANTRY_DATA`, `/home/ada/.config/gantry/config.yaml:3`, `default`
};

/// Everything that `load` reads besides the files.
struct LoadOptions {
  /// What was given on the command line, by option name.
  std::map<std::string, std::string> flags;
  /// Reads one environment variable.
  std::function<std::optional<std::string>(std::string_view)> environment;
  std::filesystem::path working_directory;
};

/// A loaded configuration. Immutable, copyable. Asking for a name that is not in the table, or with
/// the getter of another type, is a programmer error and aborts.
class Config {
 public:
  /// Types text, path, address, url and choice. Empty if unset.
  const std::string& text(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  Bytes size(std::string_view name) const;
  Duration duration(std::string_view name) const;
  telemetry::Secret secret(std::string_view name) const;
  /// True if it was set anywhere, false if this is the default.
  bool is_set(std::string_view name) const;
  const std::string& origin(std::string_view name) const;
  /// Every setting, in the order of the table; secrets are printed as `[redacted]`.
  std::vector<Setting> settings() const;
  /// The project file that was read, if any.
  const std::optional<std::filesystem::path>& project_file() const { return project_file_; }
  /// The user file, whether it exists or not.
  const std::filesystem::path& user_file() const { return user_file_; }

 private:
  friend Result<Config> load(const LoadOptions& options);
  const Setting& get(std::string_view name) const;
  std::vector<Setting> settings_;
  std::optional<std::filesystem::path> project_file_;
  std::filesystem::path user_file_;
};

/// Reads files and environment. All mistakes of all places are in one error (GR0701), a line each;
/// GR0702 if a file cannot be read.
Result<Config> load(const LoadOptions& options);
/// Where the user file is: `$XDG_CONFIG_HOME/gantry/config.yaml`, else `$HOME/.config/gantry/config.yaml`.
std::filesystem::path user_file_path(const LoadOptions& options);

/// Sets a key in a file, which is made (0600) if it is missing; other lines and comments stay as they
/// are. The value is checked first. The file is replaced in one step. `invalid` if the file is not a
/// plain list of `key: value` lines that can be edited safely.
Result<> set_value(const std::filesystem::path& file, std::string_view name, std::string_view value);
/// Removes a key; false if it was not there.
Result<bool> reset_value(const std::filesystem::path& file, std::string_view name);
/// Removes every key of the table, keeps comments.
Result<> reset_all(const std::filesystem::path& file);

}  // namespace gantry::config
