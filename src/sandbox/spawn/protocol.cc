#include "sandbox/spawn/protocol.h"

namespace gantry::sandbox::spawn {
namespace {

json::Array texts(const std::vector<std::filesystem::path>& paths) {
  json::Array out;
  for (const auto& path : paths) out.emplace_back(path.native());
  return out;
}

Result<std::vector<std::filesystem::path>> paths(const json::Value& value, std::string_view field) {
  GANTRY_TRY(auto strings, json::get_strings(value, field));
  return std::vector<std::filesystem::path>(strings.begin(), strings.end());
}

json::Object to_json(const os::CgroupAbilities& abilities) {
  return {{"memory", abilities.memory},
          {"cpu", abilities.cpu},
          {"pids", abilities.pids},
          {"freeze", abilities.freeze},
          {"kill", abilities.kill}};
}

Result<os::CgroupAbilities> abilities_from_json(const json::Value& value) {
  os::CgroupAbilities abilities;
  GANTRY_TRY(abilities.memory, json::get_string(value, "memory"));
  GANTRY_TRY(abilities.cpu, json::get_string(value, "cpu"));
  GANTRY_TRY(abilities.pids, json::get_string(value, "pids"));
  GANTRY_TRY(abilities.freeze, json::get_string(value, "freeze"));
  GANTRY_TRY(abilities.kill, json::get_string(value, "kill"));
  return abilities;
}

Result<os::CgroupAbilities> abilities_at(const json::Value& value, std::string_view field) {
  const json::Value* found = json::find(value, field);
  if (found == nullptr) return fail(Code::invalid, "{}: is missing", field);
  return abilities_from_json(*found);
}

}  // namespace

json::Value to_json(const Error& error) {
  return json::Object{{"code", to_string(error.code())},
                      {"id", to_string(error.id())},
                      {"reason", error.reason()},
                      {"hint", error.hint()}};
}

Error error_from_json(const json::Value& value) {
  auto text = [&](std::string_view field) { return json::get_string_or(value, field, "").value_or(""); };
  ErrorId id = error_id_from_string(text("id"));
  Error error = id == ErrorId::none ? Error(code_from_string(text("code")), text("reason")) : Error(id, text("reason"));
  return std::move(error).with_hint(text("hint"));
}

json::Object to_json(const Setup& setup) {
  return {{"group_name", setup.group_name},
          {"shared", texts(setup.shared)},
          {"bwrap", setup.bwrap.native()},
          {"daemon", setup.daemon}};
}

Result<Setup> setup_from_json(const json::Value& value) {
  Setup setup;
  GANTRY_TRY(setup.group_name, json::get_string(value, "group_name"));
  GANTRY_TRY(setup.shared, paths(value, "shared"));
  GANTRY_TRY(setup.bwrap, json::get_string(value, "bwrap"));
  GANTRY_TRY(int64_t daemon, json::get_int(value, "daemon"));
  setup.daemon = static_cast<pid_t>(daemon);
  return setup;
}

json::Object to_json(const Ready& ready) {
  return {
      {"visible", texts(ready.visible)}, {"abilities", to_json(ready.abilities)}, {"group_reason", ready.group_reason}};
}

Result<Ready> ready_from_json(const json::Value& value) {
  Ready ready;
  GANTRY_TRY(ready.visible, paths(value, "visible"));
  GANTRY_TRY(ready.abilities, abilities_at(value, "abilities"));
  GANTRY_TRY(ready.group_reason, json::get_string(value, "group_reason"));
  return ready;
}

json::Object to_json(const Start& start) {
  return {{"name", start.name},
          {"uid", start.uid},
          {"memory", start.limits.memory.count},
          {"cpu", start.limits.cpu.count},
          {"pids", start.limits.pids}};
}

Result<Start> start_from_json(const json::Value& value) {
  Start start;
  GANTRY_TRY(start.name, json::get_string(value, "name"));
  GANTRY_TRY(uint64_t uid, json::get_uint(value, "uid"));
  GANTRY_TRY(uint64_t memory, json::get_uint(value, "memory"));
  GANTRY_TRY(uint64_t cpu, json::get_uint(value, "cpu"));
  GANTRY_TRY(uint64_t pids, json::get_uint(value, "pids"));
  start.uid = static_cast<uid_t>(uid);
  start.limits.memory = {memory};
  start.limits.cpu = {static_cast<uint32_t>(cpu)};
  start.limits.pids = static_cast<uint32_t>(pids);
  return start;
}

json::Object to_json(const os::Cgroup& group) {
  return {{"v2", group.v2.native()},
          {"memory", group.memory.native()},
          {"cpu", group.cpu.native()},
          {"cpuacct", group.cpuacct.native()},
          {"pids", group.pids.native()},
          {"freezer", group.freezer.native()},
          {"abilities", to_json(group.abilities)}};
}

Result<os::Cgroup> cgroup_from_json(const json::Value& value) {
  os::Cgroup group;
  GANTRY_TRY(group.v2, json::get_string(value, "v2"));
  GANTRY_TRY(group.memory, json::get_string(value, "memory"));
  GANTRY_TRY(group.cpu, json::get_string(value, "cpu"));
  GANTRY_TRY(group.cpuacct, json::get_string(value, "cpuacct"));
  GANTRY_TRY(group.pids, json::get_string(value, "pids"));
  GANTRY_TRY(group.freezer, json::get_string(value, "freezer"));
  GANTRY_TRY(group.abilities, abilities_at(value, "abilities"));
  return group;
}

}  // namespace gantry::sandbox::spawn
