#include "cli/deployment.h"

#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

constexpr size_t piece_size = size_t{256} << 10;
/// A smaller upload is over before anybody could read about it.
constexpr Bytes shown_upload = mebibytes(1);
/// For a whole upload: 1 GiB at 2 MiB/s and then some.
constexpr Duration upload_timeout = std::chrono::minutes(15);

}  // namespace

Result<std::string> WorkdirUploader::upload(const std::filesystem::path& directory) {
  std::error_code ignored;
  std::filesystem::path key = std::filesystem::weakly_canonical(directory, ignored);
  if (auto found = done_.find(key); found != done_.end()) return found->second;
  std::string shown = directory.lexically_normal().string();
  PackOptions options{.directory = directory.lexically_normal()};
  options.progress = [&](uint64_t files, Bytes bytes) {
    // One line for every thousand files is enough to see that it moves.
    if (files % 1000 == 0) on_step_(fmt::format("packing {}: {} files, {}", shown, files, format_bytes_short(bytes)));
  };
  GANTRY_TRY(PackedWorkdir packed, pack_workdir(options));
  std::string digest = packed.digest;
  if (mode_ == Upload::send) {
    GANTRY_TRY(bool there, server_has(digest));
    if (!there) GANTRY_TRY_VOID(send(std::move(packed), shown));
  }
  done_.emplace(std::move(key), digest);
  return digest;
}

Result<bool> WorkdirUploader::server_has(const std::string& digest) {
  GANTRY_TRY(auto request, api_.prepare("HEAD", "/v1/workdirs/" + digest));
  GANTRY_TRY(auto answer, api_.exchange(std::move(request)));
  if (answer.status == 404) return false;
  if (answer.status >= 400) return std::unexpected(error_of(answer));
  return true;
}

Result<> WorkdirUploader::send(PackedWorkdir packed, const std::string& shown) {
  GANTRY_TRY(auto request, api_.prepare("POST", "/v1/workdirs"));
  request.headers.add("content-type", "application/x-tar");
  request.timeout = upload_timeout;
  Bytes sent;
  auto next = [&]() -> Result<std::string> {
    std::string piece(piece_size, '\0');
    GANTRY_TRY(size_t got, os::read_some(packed.tar, piece));
    piece.resize(got);
    sent.count += got;
    if (packed.size > shown_upload)
      on_step_(fmt::format("sending {}: {} of {}", shown, format_bytes_short(sent), format_bytes_short(packed.size)));
    return piece;
  };
  GANTRY_TRY(auto answer, api_.exchange(std::move(request), {.upload = next}));
  if (answer.status >= 400) return std::unexpected(error_of(answer).wrap("send the work directory"));
  auto value = json::parse(answer.body);
  if (!value || text_at(*value, "digest") != packed.digest)
    return fail(ErrorId::GR0803, "the server has other bytes than were sent: {}", answer.body.substr(0, 200));
  return {};
}

void place_volumes(PlannedAgent& agent) {
  for (core::Volume& volume : agent.spec.volumes) volume.host = (agent.base / volume.host).lexically_normal().string();
}

Result<> place_workdir(WorkdirUploader& uploader, PlannedAgent& agent) {
  const std::string& workdir = agent.spec.workdir;
  if (workdir.empty()) return {};
  if (workdir.starts_with("sha256:")) {
    GANTRY_TRY(bool there, uploader.server_has(workdir));
    if (there) return {};
    return std::unexpected(
        Error(ErrorId::GR0502, fmt::format("{}: the server has no files {}", agent.spec.name, workdir))
            .with_hint("name the directory of the program in `workdir`, and deploy the file"));
  }
  auto digest = uploader.upload(agent.base / workdir);
  if (!digest) return std::unexpected(std::move(digest).error().wrap(agent.spec.name));
  agent.spec.workdir = *digest;
  return {};
}

Result<json::Value> put_agent(ApiClient& api, const core::AgentSpec& spec) {
  auto answer = api.put(agent_path(spec.name), core::resource_json(spec));
  if (!answer) {
    // The server names the agent where it knows it; twice would be once too often.
    const bool is_named = answer.error().reason().contains("'" + spec.name + "'");
    return std::unexpected(is_named ? std::move(answer).error() : std::move(answer).error().wrap(spec.name));
  }
  return answer;
}

Result<json::Value> deploy_agent(ApiClient& api, WorkdirUploader& uploader, PlannedAgent agent) {
  GANTRY_TRY_VOID(place_workdir(uploader, agent));
  place_volumes(agent);
  return put_agent(api, agent.spec);
}

}  // namespace gantry::cli
