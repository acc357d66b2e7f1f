#include "config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace gantry::config {
namespace {

// A home directory with a project inside, and an environment that only the test sees.
struct World {
  World() {
    std::string name = ::testing::TempDir() + "gantry-config-XXXXXX";
    home = ::mkdtemp(name.data());
    environment["HOME"] = home.string();
    std::filesystem::create_directories(home / "work" / "deep");
  }
  ~World() { std::filesystem::remove_all(home); }

  LoadOptions options() const {
    return {.flags = flags,
            .environment = [this](std::string_view variable) -> std::optional<std::string> {
              auto at = environment.find(std::string(variable));
              if (at == environment.end()) return std::nullopt;
              return at->second;
            },
            .working_directory = home / "work" / "deep"};
  }
  Config load_well() const {
    auto config = load(options());
    EXPECT_TRUE(config.has_value()) << config.error().reason();
    return *config;
  }
  std::string mistakes() const {
    auto config = load(options());
    EXPECT_FALSE(config.has_value());
    if (config) return "";
    EXPECT_EQ(config.error().id(), ErrorId::GR0701);
    std::string text = config.error().reason();
    for (size_t at = 0; (at = text.find(home.string(), at)) != text.npos;) text.replace(at, home.string().size(), "~");
    return text;
  }
  std::filesystem::path user_file() const { return home / ".config" / "gantry" / "config.yaml"; }
  std::filesystem::path project_file() const { return home / "work" / ".gantry.yaml"; }

  std::filesystem::path home;
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> flags;
};

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Schema, IsSortedAndEveryDefaultPassesItsOwnCheck) {
  EXPECT_TRUE(std::ranges::is_sorted(schema(), {}, &Option::name));
  for (const Option& option : schema()) {
    EXPECT_TRUE(check_value(option, option.fallback).has_value()) << option.name;
    EXPECT_TRUE(option.environment.starts_with("GANTRY_")) << option.name;
    EXPECT_EQ(to_lower(option.environment.substr(7)), option.name);
    EXPECT_TRUE(option.description.ends_with('.')) << option.name;
  }
  EXPECT_EQ(flag_name(*find_option("log_level")), "--log-level");
  EXPECT_EQ(find_option("no_such"), nullptr);
}

TEST(Schema, RendersOneMarkdownRowAnOption) {
  std::string page = schema_markdown();
  EXPECT_EQ(std::ranges::count(page, '\n'), static_cast<ptrdiff_t>(schema().size() + 2));
  EXPECT_NE(page.find("| `log_format` | `--log-format` | `GANTRY_LOG_FORMAT` | `json` `text` | `json` |"), page.npos);
  EXPECT_NE(page.find("| `key` | `--key` | `GANTRY_KEY` | text, secret | none |"), page.npos);
}

TEST(CheckValue, SaysWhatWouldBeRight) {
  struct Row {
    std::string_view name;
    std::string_view value;
    std::string_view reason;  // empty: right
  };
  const Row rows[] = {
      {"io_threads", "4", ""},
      {"io_threads", "four", "'four' is not an integer"},
      {"io_threads", "2000", "2000 is not between 0 and 1024"},
      {"journal_segment_size", "128Mi", ""},
      {"journal_segment_size", "1k", "1k is not between 4Mi and 4Gi"},
      {"journal_segment_size", "big", "'big' is not a size such as 512Mi, 2Gi or 100M"},
      {"retention", "7d", ""},
      {"retention", "1s", "1s is not between 1m and 3650d"},
      {"log_level", "loud", "'loud' is none of debug, info, warn, error, off"},
      {"listen", "0.0.0.0:0", ""},
      {"listen", "[::1]:8081", ""},
      {"listen", "localhost:80", ""},
      {"listen", "8081", "'8081' is not an address such as 127.0.0.1:8081 or [::1]:8081"},
      {"listen", "::1:8081", "'::1:8081' is not an address such as 127.0.0.1:8081 or [::1]:8081"},
      {"listen", "h:99999", "'h:99999' is not an address such as 127.0.0.1:8081 or [::1]:8081"},
      {"url", "https://gantry.example:8081/base", ""},
      {"url", "", ""},
      {"url", "gantry.example", "'gantry.example' is not a URL such as http://127.0.0.1:8081"},
      {"url", "http://", "'http://' is not a URL such as http://127.0.0.1:8081"},
      {"url", "http://a b", "'http://a b' is not a URL such as http://127.0.0.1:8081"},
      {"data", "", "the value is empty"},
      {"data", "a\nb", "the value holds control characters"},
  };
  for (const Row& row : rows) {
    auto checked = check_value(*find_option(row.name), row.value);
    EXPECT_EQ(checked ? "" : checked.error().reason(), row.reason) << row.name << " " << row.value;
  }
}

TEST(Load, EveryLevelBeatsTheOneBelowAndNamesItsOrigin) {
  World world;
  write_file(world.user_file(), "# mine\ndata: /user\nlisten: 127.0.0.1:1\nlog_level: warn\nretention: 1d\n");
  write_file(world.project_file(), "data: /project\nlisten: 127.0.0.1:2\nlog_level: error\n");
  world.environment["GANTRY_DATA"] = "/environment";
  world.environment["GANTRY_LISTEN"] = "127.0.0.1:3";
  world.flags["data"] = "/flag";
  Config config = world.load_well();
  struct Row {
    std::string_view name;
    std::string value;
    std::string origin;
  };
  const Row rows[] = {{"data", "/flag", "--data flag"},
                      {"listen", "127.0.0.1:3", "GANTRY_LISTEN"},
                      {"log_level", "error", world.project_file().string() + ":3"},
                      {"log_format", "json", "default"}};
  for (const Row& row : rows) {
    EXPECT_EQ(config.text(row.name), row.value);
    EXPECT_EQ(config.origin(row.name), row.origin);
  }
  EXPECT_EQ(config.duration("retention"), std::chrono::days(1));
  EXPECT_EQ(config.origin("retention"), world.user_file().string() + ":5");
  EXPECT_EQ(config.size("request_body_limit"), gibibytes(1));
  EXPECT_EQ(config.integer("io_threads"), 0);
  EXPECT_TRUE(config.is_set("data"));
  EXPECT_FALSE(config.is_set("url"));
  EXPECT_EQ(config.project_file(), world.project_file());
  EXPECT_EQ(config.settings().size(), schema().size());
}

TEST(Load, WorksWithNothingAtAllAndExpandsTheHomeDirectory) {
  World world;
  Config config = world.load_well();
  EXPECT_EQ(config.text("data"), (world.home / ".gantry").string());
  EXPECT_EQ(config.user_file(), world.user_file());
  EXPECT_EQ(config.project_file(), std::nullopt);
  world.environment["GANTRY_DATA"] = "~/elsewhere";
  EXPECT_EQ(world.load_well().text("data"), (world.home / "elsewhere").string());
  world.environment["XDG_CONFIG_HOME"] = "/etc/xdg-of-me";
  EXPECT_EQ(world.load_well().user_file(), "/etc/xdg-of-me/gantry/config.yaml");
  world.environment["XDG_CONFIG_HOME"] = "relative";
  EXPECT_EQ(world.load_well().user_file(), world.user_file());
}

TEST(Load, AnEmptyVariableCountsAsUnset) {
  World world;
  world.environment["GANTRY_URL"] = "";
  EXPECT_FALSE(world.load_well().is_set("url"));
}

TEST(Load, TheProjectFileIsTheNearestUpToTheHomeDirectory) {
  World world;
  write_file(world.home / ".gantry.yaml", "log_level: warn\n");
  EXPECT_EQ(world.load_well().text("log_level"), "warn");
  write_file(world.project_file(), "log_level: error\n");
  EXPECT_EQ(world.load_well().text("log_level"), "error");
  // Above the home directory nobody looks: other users may write there.
  world.environment["HOME"] = (world.home / "work" / "deep").string();
  EXPECT_EQ(world.load_well().project_file(), std::nullopt);
}

TEST(Load, ReportsEveryMistakeOfEveryPlaceAtOnce) {
  World world;
  write_file(world.user_file(), "log_levl: warn\ndata:\nlisten: 80\nlisten: 81\n");
  write_file(world.project_file(), "\nkey: abc\nbanana: 1\n");
  world.environment["GANTRY_RETENTION"] = "soon";
  world.flags["output"] = "xml";
  EXPECT_EQ(
      world.mistakes(),
      "~/.config/gantry/config.yaml:4: the key `listen` is given twice\n"
      "~/.config/gantry/config.yaml:2: data: expected a value, got nothing\n"
      "~/.config/gantry/config.yaml:1: there is no option 'log_levl'; did you mean 'log_level'?\n"
      "~/.config/gantry/config.yaml:3: listen: '80' is not an address such as 127.0.0.1:8081 or [::1]:8081\n"
      "~/work/.gantry.yaml:2: key: a secret does not belong into a project file; use GANTRY_KEY or the user file\n"
      "~/work/.gantry.yaml:3: there is no option 'banana'; gantry config view lists all\n"
      "GANTRY_RETENTION: retention: 'soon' is not a duration such as 30s, 1m30s or 250ms\n"
      "--output flag: output: 'xml' is none of table, wide, json, jsonl, yaml, name");
}

TEST(Load, RefusesWhatIsNoListOfKeys) {
  World world;
  write_file(world.user_file(), "- data\n");
  EXPECT_EQ(world.mistakes(), "~/.config/gantry/config.yaml:1: expected `key: value` lines, got a list");
  write_file(world.user_file(), "data: [a\n");
  EXPECT_NE(world.mistakes().find("~/.config/gantry/config.yaml:2: expected `,` or `]` here"), std::string::npos);
  std::filesystem::remove(world.user_file());
  // A FIFO without a writer would stop whoever opens it, or read as an empty file.
  ASSERT_EQ(::mkfifo(world.user_file().c_str(), 0600), 0);
  auto config = load(world.options());
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().id(), ErrorId::GR0702);
}

TEST(Load, SecretsAreNeverShown) {
  World world;
  world.environment["GANTRY_KEY"] = "gk_12345";
  Config config = world.load_well();
  EXPECT_EQ(config.secret("key").reveal(), "gk_12345");
  for (const Setting& setting : config.settings()) EXPECT_EQ(setting.value.find("12345"), std::string::npos);
  EXPECT_DEATH(config.text("key"), "check failed");
  EXPECT_DEATH(config.text("no_such"), "check failed");
  EXPECT_DEATH(config.integer("data"), "check failed");
}

TEST(Edit, KeepsOtherLinesAndComments) {
  World world;
  auto file = world.user_file();
  ASSERT_TRUE(set_value(file, "data", "/srv/gantry").has_value());
  EXPECT_EQ(read_file(file), "data: /srv/gantry\n");
  struct stat status{};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);

  write_file(file, "# my settings\ndata:   \"/ä\"   # where it lives\n\nurl:\nlog_level: warn");
  ASSERT_TRUE(set_value(file, "data", "/a: b").has_value());
  ASSERT_TRUE(set_value(file, "url", "http://h:1").has_value());
  ASSERT_TRUE(set_value(file, "retention", "7d").has_value());
  EXPECT_EQ(
      read_file(file),
      "# my settings\ndata:   \"/a: b\"   # where it lives\n\nurl: \"http://h:1\"\nlog_level: warn\nretention: 7d\n");
  EXPECT_EQ(world.load_well().text("data"), "/a: b");

  EXPECT_TRUE(reset_value(file, "data").value());
  EXPECT_FALSE(reset_value(file, "data").value());
  EXPECT_EQ(read_file(file), "# my settings\n\nurl: \"http://h:1\"\nlog_level: warn\nretention: 7d\n");
  ASSERT_TRUE(reset_all(file).has_value());
  EXPECT_EQ(read_file(file), "# my settings\n\n");
  EXPECT_FALSE(reset_value(world.home / "nothing", "data").value());
}

TEST(Edit, RefusesWhatItCannotDoSafelyAndLeavesTheFile) {
  World world;
  auto file = world.user_file();
  for (std::string_view text : {"data: |\n  /a\n  /b\n", "data: /a\n  b\n", "- data\n", "data: 1\n---\ndata: 2\n",
                                "{url: \"http://a\",\n data: /x}\n", "url: &a http://x\nother: *a\n", "data: [a\n"}) {
    write_file(file, text);
    EXPECT_FALSE(set_value(file, "log_level", "info").has_value() && set_value(file, "data", "/new").has_value() &&
                 reset_value(file, "url").has_value())
        << text;
  }
  write_file(file, "data: /a\n  b\n");
  EXPECT_FALSE(set_value(file, "data", "/new").has_value());
  EXPECT_EQ(read_file(file), "data: /a\n  b\n");
  EXPECT_EQ(set_value(file, "log_level", "loud").error().reason(),
            "log_level: 'loud' is none of debug, info, warn, error, off");
  EXPECT_EQ(set_value(file, "nothing", "x").error().id(), ErrorId::GR0701);
  EXPECT_EQ(read_file(file), "data: /a\n  b\n");
}

TEST(Edit, KeepsTheModeOfTheFileAndFollowsALink) {
  World world;
  auto real = world.home / "dotfiles" / "gantry.yaml";
  write_file(real, "data: /a\n");
  std::filesystem::permissions(real, std::filesystem::perms(0640));
  std::filesystem::create_directories(world.user_file().parent_path());
  std::filesystem::create_symlink(real, world.user_file());
  ASSERT_TRUE(set_value(world.user_file(), "data", "/b").has_value());
  EXPECT_TRUE(std::filesystem::is_symlink(world.user_file()));
  EXPECT_EQ(read_file(real), "data: /b\n");
  EXPECT_EQ(std::filesystem::status(real).permissions(), std::filesystem::perms(0640));
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(real.parent_path())) ++files;
  EXPECT_EQ(files, 1u);  // no temporary file is left
}

TEST(Edit, RoundTripsEveryValueThatIsValid) {
  World world;
  auto file = world.user_file();
  SeededRandom random(5);
  for (int i = 0; i < 300; ++i) {
    std::string value = "/";
    for (uint64_t k = random.below(10); k > 0; --k) value += static_cast<char>(' ' + random.below(95));
    ASSERT_TRUE(set_value(file, "data", value).has_value()) << value;
    EXPECT_EQ(world.load_well().text("data"), value);
  }
}

}  // namespace
}  // namespace gantry::config
