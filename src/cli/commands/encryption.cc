#include <fmt/format.h>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gantry::cli {
namespace {

Listing scope_listing(Time now) {
  return {{text_column("SCOPE", "scope"), number_column("DATA KEYS", "data_keys"), number_column("NEWEST", "newest"),
           age_column("AGE", "newest_since", now)},
          "scope",
          "no data keys"};
}

std::string render_status(const json::Value& status, const Canvas& canvas, Time now) {
  if (!bool_at(status, "enabled")) return "nothing is encrypted: the server has no encryption key\n";
  return fmt::format("master key {}, number {}, since {}\n\n", text_at(status, "fingerprint"),
                     int_at(status, "generation"), text_at(status, "master_since")) +
         render_table(scope_listing(now), array_at(status, "scopes"), Format::wide, canvas);
}

std::string render_rotation(const json::Value& done) {
  std::string out = fmt::format("{} new data keys\n", int_at(done, "made"));
  if (bool_at(done, "new_master"))
    out += fmt::format("{} data keys wrapped by the new master key {}\n", int_at(done, "wrapped"),
                       text_at(done, "fingerprint"));
  return out;
}

}  // namespace

Result<int> run_encryption_status(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Value status, api->get("/v1/encryption"));
  session.print_value(status, "fingerprint",
                      [&](const json::Value& it) { return render_status(it, session.canvas(), session.now()); });
  return 0;
}

Result<int> run_encryption_rotate(Session& session) {
  json::Object body;
  std::filesystem::path file;
  if (session.given().has("--new-key-file")) {
    // The server has another working directory.
    file = session.environment().working_directory / session.given().text_or("--new-key-file", "");
    file = file.lexically_normal();
    body["new_key_file"] = file.string();
  }
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Value done, api->post("/v1/encryption/rotate", json::Value(std::move(body))));
  session.print_value(done, "fingerprint", [](const json::Value& it) { return render_rotation(it); });
  if (bool_at(done, "new_master"))
    session.suggest(fmt::format("gantry config set encryption_key_file {}", file.string()),
                    "the next start needs the new key");
  return 0;
}

}  // namespace gantry::cli
