// Changes a dead letter, with flags or in an editor, and requeues it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/commands/requests.h"
#include "cli/edit_form.h"
#include "cli/handlers.h"
#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

constexpr Bytes longest_body = mebibytes(8);

Result<std::string> read_data(Session& session, const std::string& data) {
  if (data == "-")
    return std::string(std::istreambuf_iterator<char>(*session.environment().in), std::istreambuf_iterator<char>());
  if (data.starts_with('@')) return os::read_file(data.substr(1), longest_body);
  return data;
}

Result<json::Object> changes_by_flags(Session& session) {
  const Invocation& given = session.given();
  json::Object body;
  if (auto method = given.text("--method")) body["method"] = *method;
  if (auto path = given.text("--path")) body["target"] = *path;
  json::Array set, remove;
  for (const std::string& line : given.list("--header")) {
    size_t colon = line.find(':');
    if (colon == std::string::npos || colon == 0)
      return fail(ErrorId::GR0801, "--header: '{}' is not of the form 'Name: value'", line);
    set.push_back(json::Array{json::Value(trim(line.substr(0, colon))), json::Value(trim(line.substr(colon + 1)))});
  }
  for (const std::string& name : given.list("--remove-header")) remove.push_back(json::Value(name));
  if (!set.empty() || !remove.empty())
    body["headers"] = json::Object{{"set", std::move(set)}, {"remove", std::move(remove)}};
  if (auto data = given.text("--body")) {
    GANTRY_TRY(std::string content, read_data(session, *data));
    body["body"] = json::Object{{"base64", crypto::base64(content)}};
  }
  return body;
}

/// A file of our own that only we can read; it goes with this object unless it is kept.
class ScratchFile {
 public:
  static Result<ScratchFile> make(std::string_view text) {
    ScratchFile file;
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-edit-XXXXXX").string();
    // SAFETY: mkstemp writes into its argument; the file has mode 0600.
    int descriptor = ::mkstemp(pattern.data());
    if (descriptor < 0) return fail(Code::unavailable, "a file for the editor cannot be made in {}", pattern);
    ::close(descriptor);
    file.path_ = pattern;
    std::ofstream(file.path_, std::ios::binary) << text;
    return file;
  }
  ScratchFile(ScratchFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFile& operator=(ScratchFile&&) = delete;
  ~ScratchFile() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::string keep() { return std::exchange(path_, {}).string(); }

 private:
  ScratchFile() = default;
  std::filesystem::path path_;
};

Result<> run_editor(Session& session, const std::filesystem::path& file) {
  std::string editor = session.environment().variable("VISUAL").value_or("");
  if (editor.empty()) editor = session.environment().variable("EDITOR").value_or("");
  if (editor.empty()) editor = "vi";
  // Through the shell, because these variables may hold arguments.
  auto process =
      os::spawn_process({.program = "/bin/sh", .arguments = {"sh", "-c", editor + " \"$1\"", "sh", file.string()}});
  if (!process) return std::unexpected(std::move(process).error().wrap("start the editor " + editor));
  GANTRY_TRY(const int status, os::wait_process(process->pidfd));
  if (status != 0) return fail(Code::cancelled, "the editor `{}` failed: nothing was changed", editor);
  return {};
}

// Empty if nothing was changed.
Result<json::Object> changes_in_editor(Session& session, const json::Value& request) {
  if (session.environment().in_device != Device::terminal)
    return std::unexpected(Error(ErrorId::GR0802, "an editor needs a terminal, and standard input is none")
                               .with_hint("say what to change with --method, --path, --header or --body"));
  GANTRY_TRY(ScratchFile file, ScratchFile::make(edit_form(request)));
  GANTRY_TRY_VOID(run_editor(session, file.path()));
  GANTRY_TRY(std::string text, os::read_file(file.path(), longest_body));
  auto changed = read_edit_form(text, request);
  if (changed) return changed;
  session.say(fmt::format("your text is kept in {}", file.keep()));
  return changed;
}

}  // namespace

Result<int> run_requests_edit(Session& session) {
  const std::string& id = session.given().required("ID");
  GANTRY_TRY(json::Object body, changes_by_flags(session));
  GANTRY_TRY(ApiClient * api, session.api());
  if (body.empty()) {
    auto request = api->get(request_path(id));
    if (!request) return std::unexpected(about_request(std::move(request).error()));
    GANTRY_TRY(body, changes_in_editor(session, *request));
    if (body.empty()) {
      session.say("nothing was changed, and nothing was sent");
      session.suggest(fmt::format("gantry requests requeue {}", id));
      return 0;
    }
  }
  if (auto delay = session.given().text("--delay")) body["delay"] = *delay;
  GANTRY_TRY(json::Value row, api->post(request_path(id, "requeue"), json::Value(std::move(body))));
  session.print_value(row, "id", [](const json::Value& value) {
    return fmt::format("{} is {}\n", text_at(value, "id"), text_at(value, "status"));
  });
  session.suggest(fmt::format("gantry requests show {}", id));
  return 0;
}

}  // namespace gantry::cli
