// `gantry doctor`: facts about this machine and this server, each with a verdict and the next step.
#include <fcntl.h>

#include "os/os.h"
#include "server/api.h"

namespace gantry::server {
namespace {

enum class Verdict { ok, warn, fail };

json::Object check(std::string_view name, Verdict verdict, std::string_view detail, std::string_view hint = {}) {
  constexpr std::string_view words[] = {"ok", "warn", "fail"};
  return {{"name", name},
          {"status", words[static_cast<size_t>(verdict)]},
          {"detail", detail},
          {"hint", hint.empty() ? json::Value(nullptr) : json::Value(hint)}};
}

json::Object disk_check(const std::filesystem::path& data) {
  auto space = os::disk_space(data);
  if (!space) return check("disk", Verdict::fail, space.error().reason());
  std::string detail =
      fmt::format("{} free of {}", format_bytes_short(space->available), format_bytes_short(space->total));
  if (space->available < mebibytes(256))
    return check("disk", Verdict::fail, detail, "free space on this disk: requests are refused when it is full");
  if (space->available < gibibytes(2))
    return check("disk", Verdict::warn, detail, "gantry doctor --storage shows what uses space");
  return check("disk", Verdict::ok, detail);
}

json::Object journal_check(Composition& server) {
  journal::Health health = server.journal().health();
  std::string detail = fmt::format("sequence {} is durable", server.journal().durable_seq());
  for (const journal::Lag& lag : server.journal().lag()) {
    if (!lag.failure.empty())
      return check("journal", Verdict::fail, fmt::format("'{}': {}", lag.projection, lag.failure),
                   "look into the log of the server");
    detail += fmt::format(", '{}' is {} records behind", lag.projection, lag.records);
  }
  if (health == journal::Health::ready) return check("journal", Verdict::ok, detail);
  return check("journal", Verdict::fail, fmt::format("{}; state {}", detail, journal::to_string(health)),
               "free space on the disk or make it writable; service returns by itself");
}

json::Object flush_check(Composition& server) {
  journal::Stats stats = server.journal().stats();
  if (stats.groups == 0) return check("flush", Verdict::ok, "nothing was written yet");
  Duration mean = stats.flush_time / static_cast<int64_t>(stats.groups);
  std::string detail = fmt::format("{} for one group commit, {:.1f} records each", format_duration_short(mean),
                                   static_cast<double>(stats.records) / static_cast<double>(stats.groups));
  if (mean > std::chrono::milliseconds(20))
    return check("flush", Verdict::warn, detail,
                 "a slow disk makes every durable request slow: put --data on another one");
  return check("flush", Verdict::ok, detail);
}

json::Object encryption_check(const vault::Status& status) {
  if (!status.enabled)
    return check("encryption", Verdict::ok,
                 "off, what is stored can be read on the disk; a key in encryption_key_file turns it on");
  return check("encryption", Verdict::ok,
               fmt::format("on with master key {}, number {}; scopes sealed: {}", status.fingerprint, status.generation,
                           status.scopes.size()));
}

void add_sandbox_checks(const Result<sandbox::Probe>& probe, json::Array& checks) {
  if (!probe) {
    checks.push_back(check("sandbox", Verdict::fail, probe.error().reason(), probe.error().hint()));
    return;
  }
  const sandbox::Achieved& achieved = probe->achieved;
  std::string namespaces;
  for (const std::string& name : achieved.namespaces) namespaces += (namespaces.empty() ? "" : " ") + name;
  checks.push_back(check("sandbox", Verdict::ok,
                         fmt::format("{}{}{}, started a real one in {}, namespaces: {}", achieved.driver,
                                     probe->version.empty() ? "" : " ", probe->version,
                                     format_duration_short(probe->start_time), namespaces)));
  checks.push_back(check("seccomp", achieved.seccomp == sandbox::Grade::enforced ? Verdict::ok : Verdict::fail,
                         sandbox::to_string(achieved.seccomp)));
  for (const sandbox::AchievedLimit& limit : achieved.limits) {
    Verdict verdict = limit.grade == sandbox::Grade::none ? Verdict::warn : Verdict::ok;
    checks.push_back(
        check("limit " + limit.name, verdict, fmt::format("{}: {}", sandbox::to_string(limit.grade), limit.how)));
  }
  for (const std::string& note : probe->notes) checks.push_back(check("note", Verdict::warn, note));
}

struct Place {
  std::string_view what;
  std::string path;
};

}  // namespace

Task<json::Value> examine(Composition& server) {
  json::Array checks;
  checks.push_back(disk_check(server.data()));
  checks.push_back(journal_check(server));
  checks.push_back(flush_check(server));
  auto keys = co_await server.blocking().run([&server] { return server.vault().status(); });
  checks.push_back(keys ? encryption_check(*keys) : check("encryption", Verdict::fail, keys.error().reason()));
  auto probe = co_await server.sandbox().probe();
  add_sandbox_checks(probe, checks);
  co_return json::Object{{"checks", std::move(checks)}};
}

Result<json::Value> examine_storage(Composition& server) {
  json::Array data;
  uint64_t total = 0;
  auto add = [&](std::string_view what, const std::filesystem::path& path, Bytes bytes, std::string detail) {
    total += bytes.count;
    data.push_back(json::Object{{"what", what}, {"path", path.string()}, {"bytes", bytes.count}, {"detail", detail}});
  };
  GANTRY_TRY(journal::Usage usage, server.journal().usage());
  const std::filesystem::path& root = server.data();
  size_t compressed = 0;
  for (const journal::SegmentInfo& segment : usage.segments)
    compressed += segment.state == journal::SegmentState::compressed ? 1 : 0;
  add("journal segments", root / "journal" / "segments", usage.segments_on_disk,
      fmt::format("{} segments, {} compressed", usage.segments.size(), compressed));
  add("journal reserve", root / "journal" / "segments", usage.prepared_on_disk, "written ahead, for a full disk too");
  add("journal checkpoints", root / "journal" / "checkpoints", usage.checkpoints_on_disk, "");
  add("blobs", root / "journal" / "blobs", usage.blobs.bytes,
      fmt::format("{} bodies above the inline limit", usage.blobs.count));
  GANTRY_TRY(store::Usage store, server.database().usage());
  add("relational store", root / "store.db", Bytes{store.database.count + store.log.count},
      "specs, keys and the history");
  for (const Place& place : {Place{"workspaces", "workspaces"}, Place{"instances", "instances"},
                             Place{"revisions", "revisions"}, Place{"uploads", "uploads"}, Place{"logs", "logs"}}) {
    auto bytes = os::disk_usage(root / place.path);
    add(place.what, root / place.path, bytes.value_or(Bytes{}), bytes ? "" : bytes.error().reason());
  }
  // Of `up --detach`: what was said before the log was open, and last words.
  Bytes detached;
  std::error_code failure;
  for (const char* name : {"server.log", "server.log.1"})
    if (auto size = std::filesystem::file_size(root / name, failure); !failure) detached.count += size;
  if (detached.count > 0) add("stderr of up --detach", root / "server.log", detached, "1Mi and the one before");
  GANTRY_TRY(os::DiskSpace space, os::disk_space(root));
  return json::Object{{"data", std::move(data)}, {"total_bytes", total}, {"free_bytes", space.available.count}};
}

}  // namespace gantry::server
