// Bringing specs to the server: used by `deploy` and by the demo.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cli/api_client.h"
#include "cli/workdir.h"
#include "core/core.h"

namespace gantry::cli {

/// A spec and the directory that its relative paths start from.
struct PlannedAgent {
  core::AgentSpec spec;
  std::filesystem::path base;
};

/// What it is doing, in words, for a spinner.
using OnStep = std::function<void(const std::string& words)>;

/// Whether files are sent, or only looked at: the digest is the same.
enum class Upload { send, measure };

/// Packs and uploads work directories, each directory and each content once.
class WorkdirUploader {
 public:
  WorkdirUploader(ApiClient& api, OnStep on_step, Upload mode = Upload::send)
      : api_(api), on_step_(std::move(on_step)), mode_(mode) {}
  /// The digest under which the server has the files of `directory`.
  Result<std::string> upload(const std::filesystem::path& directory);

  Result<bool> server_has(const std::string& digest);

 private:
  Result<> send(PackedWorkdir packed, const std::string& shown);

  ApiClient& api_;
  OnStep on_step_;
  Upload mode_;
  std::map<std::filesystem::path, std::string> done_;
};

/// Replaces a directory by the digest of its files. A digest stays: GR0502 if the server has no such files.
Result<> place_workdir(WorkdirUploader& uploader, PlannedAgent& agent);
/// Makes the host paths of volumes absolute.
void place_volumes(PlannedAgent& agent);
/// Puts an agent whose work directory is in its place. The server's answer: `{"agent", "result"}`.
Result<json::Value> put_agent(ApiClient& api, const core::AgentSpec& spec);
/// All of it.
Result<json::Value> deploy_agent(ApiClient& api, WorkdirUploader& uploader, PlannedAgent agent);

}  // namespace gantry::cli
