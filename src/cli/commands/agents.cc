#include "cli/commands/agents.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr Duration first_poll = std::chrono::milliseconds(50);
constexpr Duration slowest_poll = std::chrono::milliseconds(500);
/// A crash loop may be left over from the revision before; after this time it is this one's.
constexpr Duration crash_patience = std::chrono::seconds(5);

Cell ready_cell(const json::Value& agent) {
  int64_t ready = int_at(agent, "ready"), wanted = int_at(agent, "replicas");
  return {fmt::format("{}/{}", ready, wanted), ready < wanted ? Tint::warn : Tint::plain};
}

std::string limit_in_words(const json::Value& instance) {
  std::vector<std::string> parts;
  for (const auto& limit : array_at(instance, "limits"))
    parts.push_back(
        fmt::format("{} {} ({})", text_at(limit, "name"), text_at(limit, "limit"), text_at(limit, "grade")));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string isolation_in_words(const json::Value& instance) {
  // Between two lives there is none.
  if (text_at(instance, "isolation.driver").empty()) return "";
  std::vector<std::string> spaces;
  for (const auto& space : array_at(instance, "isolation.namespaces"))
    if (space.is_string()) spaces.emplace_back(space.get_string());
  return fmt::format("{}{}, {}, seccomp {}, namespaces {}", text_at(instance, "isolation.driver"),
                     bool_at(instance, "isolation.rootless") ? " (rootless)" : "", text_at(instance, "isolation.user"),
                     text_at(instance, "isolation.seccomp"), fmt::join(spaces, " "));
}

std::string render_instance(const json::Value& instance, const Style& style, Time now) {
  std::string status = text_at(instance, "status");
  std::string out = fmt::format("  {} {} {}\n", style.paint(Tint::bold, "replica " + text_at(instance, "replica")),
                                text_at(instance, "id"), style.paint(tint_of_status(status), status));
  std::string started = text_at(instance, "started_at");
  out += render_pairs({{"Reason", {text_at(instance, "reason"), Tint::warn}},
                       {"Program", {"of revision " + text_at(instance, "revision")}},
                       {"Process", {int_at(instance, "pid") > 0 ? "pid " + text_at(instance, "pid") : ""}},
                       {"Started", {started.empty() ? "" : fmt::format("{} ago ({})", age_of(started, now), started)}},
                       {"Restarts", {text_at(instance, "restarts")}},
                       {"In flight", {text_at(instance, "in_flight")}},
                       {"Isolation", {isolation_in_words(instance)}},
                       {"Limits", {limit_in_words(instance)}}},
                      style, 4);
  return out;
}

std::string labels_in_words(const json::Value& agent) {
  const json::Value* labels = json::find(agent, "labels");
  if (labels == nullptr || !labels->is_object()) return "";
  std::vector<std::string> parts;
  for (const auto& label : labels->get_object())
    parts.push_back(fmt::format("{}={}", std::string_view(label.key()),
                                label.value().is_string() ? std::string_view(label.value().get_string()) : ""));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string names_in_words(const json::Value& agent, std::string_view member) {
  std::vector<std::string> names;
  for (const auto& name : array_at(agent, member))
    if (name.is_string()) names.emplace_back(name.get_string());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string render_agent(const json::Value& agent, const Style& style, Time now) {
  std::string status = text_at(agent, "status");
  std::string out = render_pairs(
      {{"Name", {text_at(agent, "name"), Tint::bold}},
       {"Status", {status, tint_of_status(status)}},
       {"Reason", {text_at(agent, "reason"), Tint::warn}},
       {"Ready", ready_cell(agent)},
       {"Id", {text_at(agent, "id")}},
       {"Scope", {text_at(agent, "scope")}},
       {"Labels", {labels_in_words(agent)}},
       {"Depends on", {names_in_words(agent, "depends_on")}},
       {"Waits for", {names_in_words(agent, "waits_for"), Tint::warn}},
       {"Revision", {fmt::format("{} ({})", text_at(agent, "revision_number"), text_at(agent, "revision"))}},
       {"Address", {"/agent/" + text_at(agent, "name") + "/" + (bool_at(agent, "public") ? " (public)" : "")}},
       {"Requests", {fmt::format("{} pending, {} processing", int_at(agent, "pending"), int_at(agent, "processing"))}},
       {"Restarts", {text_at(agent, "restarts")}},
       {"Created", {fmt::format("{} ago", age_of(text_at(agent, "created_at"), now))}},
       {"Updated", {fmt::format("{} ago", age_of(text_at(agent, "updated_at"), now))}}},
      style);
  out += "\n" + style.paint(Tint::bold, "Instances") + "\n";
  if (array_at(agent, "instances").empty()) out += "  none\n";
  for (const auto& instance : array_at(agent, "instances")) out += render_instance(instance, style, now);
  if (const json::Value* spec = json::find(agent, "spec")) {
    out += "\n" + style.paint(Tint::bold, "Spec") + "\n";
    std::string_view text_left;
    std::string text = to_yaml(*spec);
    for (text_left = text; !text_left.empty();) {
      size_t end = text_left.find('\n');
      out += fmt::format("  {}\n", without_controls(text_left.substr(0, end)));
      text_left.remove_prefix(end + 1);
    }
  }
  return out;
}

Listing health_listing(Time now) {
  return {{number_column("REPLICA", "replica"),
           text_column("PROBE", "probe"),
           {"HEALTHY",
            [](const json::Value& row) {
              return bool_at(row, "healthy") ? Cell{"yes", Tint::good} : Cell{"no", Tint::bad};
            }},
           text_column("KIND", "kind"),
           age_column("CHECKED", "checked_at", now),
           number_column("FAILURES", "consecutive_failures"),
           text_column("INSTANCE", "id"),
           text_column("DETAIL", "detail")},
          "id",
          "no instances"};
}

// A row for each probe, or one that says that none was asked yet.
json::Array probe_rows(const json::Array& instances) {
  json::Array rows;
  for (const json::Value& instance : instances) {
    const json::Array& probes = array_at(instance, "probes");
    if (probes.empty()) rows.push_back(instance);
    for (const json::Value& probe : probes) {
      json::Object row = probe.as_object();
      row["id"] = text_at(instance, "id");
      row["replica"] = int_at(instance, "replica");
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace

std::string agent_path(std::string_view name, std::string_view rest) {
  return fmt::format("/v1/agents/{}{}{}", percent_encode(name), rest.empty() ? "" : "/", rest);
}

Error about_agent(ApiClient& api, std::string_view name, Error error) {
  if (error.code() != Code::not_found || !error.hint().empty()) return error;
  auto rows = api.list("/v1/agents");
  if (!rows) return std::move(error).with_hint("gantry list");
  std::vector<std::string> names;
  for (const auto& row : *rows) names.push_back(text_at(row, "name"));
  std::string near = did_you_mean(name, std::vector<std::string_view>(names.begin(), names.end()));
  return std::move(error).with_hint(near.empty() ? "gantry list" : near);
}

bool is_ready(const json::Value& agent) {
  return text_at(agent, "status") == "running" && int_at(agent, "ready") >= int_at(agent, "replicas");
}

std::string state_in_words(const json::Value& agent) {
  std::string words =
      fmt::format("{}, {}/{} ready", text_at(agent, "status"), int_at(agent, "ready"), int_at(agent, "replicas"));
  std::string reason = text_at(agent, "reason");
  for (const auto& instance : array_at(agent, "instances"))
    if (reason.empty()) reason = text_at(instance, "reason");
  return reason.empty() ? words : words + ": " + reason;
}

Result<json::Array> wait_for(Session& session, ApiClient& api, const std::vector<Goal>& goals, Duration timeout) {
  const SteadyTime start = session.steady();
  SteadyTime calm = start;  // when no agent was in a crash loop last
  Progress progress(session);
  Duration poll = first_poll;
  for (;;) {
    json::Array agents;
    std::vector<std::string> open;
    bool crashing = false;
    for (const auto& goal : goals) {
      auto agent = api.get(agent_path(goal.agent));
      if (!agent) return std::unexpected(about_agent(api, goal.agent, std::move(agent).error()));
      if (!goal.reached(*agent)) {
        open.push_back(fmt::format("{} is {}", goal.agent, state_in_words(*agent)));
        crashing = crashing || text_at(*agent, "status") == "crash_loop" || bool_at(*agent, "stuck");
      }
      agents.push_back(std::move(*agent));
    }
    if (open.empty()) return agents;
    const SteadyTime now = session.steady();
    if (!crashing) calm = now;
    if (now - start >= timeout || now - calm >= crash_patience) {
      return std::unexpected(
          Error(ErrorId::GR0804, fmt::format("not {} after {}: {}", goals.front().word,
                                             format_duration_short(now - start), fmt::join(open, "; ")))
              .with_hint(fmt::format("gantry logs {} --tail 50", goals.front().agent)));
    }
    progress.show(fmt::format("waiting: {}", fmt::join(open, "; ")));
    GANTRY_TRY_VOID(session.pause(poll));
    poll = std::min(slowest_poll, poll * 2);
  }
}

Listing agent_listing(Time now) {
  return {{text_column("NAME", "name"),
           status_column("STATUS", "status"),
           {"READY", ready_cell},
           number_column("PENDING", "pending"),
           number_column("PROCESSING", "processing"),
           number_column("RESTARTS", "restarts"),
           number_column("REVISION", "revision_number"),
           age_column("AGE", "created_at", now),
           number_column("PORT", "port", Detail::wide),
           text_column("PUBLIC", "public", Detail::wide),
           text_column("ID", "id", Detail::wide),
           {"REASON", [](const json::Value& row) { return Cell{text_at(row, "reason"), Tint::warn}; }}},
          "name",
          "no agents; deploy one: gantry deploy --name bot --command \"python3 app.py\" --workdir ."};
}

Result<int> run_list(Session& session) {
  std::string target = "/v1/agents";
  if (auto status = session.given().text("--status")) target += "?status=" + *status;
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    GANTRY_TRY(json::Array rows, api->list(target));
    return listing_frame(session, agent_listing(session.now()), rows);
  });
}

/// What to do about an agent that does not run as it should, where its reason tells; nullopt if all is well.
std::optional<std::string> way_out(const json::Value& agent) {
  const std::string name = text_at(agent, "name");
  const std::string words = state_in_words(agent);
  if (words.contains("workspace above"))
    return fmt::format(
        "raise resources.workspace and deploy again; its files stay. gantry remove {} deletes the agent with them",
        name);
  if (words.contains("out of memory")) return "raise resources.memory and deploy again";
  if (text_at(agent, "status") == "crash_loop") return fmt::format("gantry logs {} --tail 50", name);
  return std::nullopt;
}

Result<int> run_inspect(Session& session) {
  const std::string& name = session.given().required("NAME");
  GANTRY_TRY(ApiClient * api, session.api());
  auto agent = api->get(agent_path(name));
  if (!agent) return std::unexpected(about_agent(*api, name, std::move(agent).error()));
  session.print_value(*agent, "name", [&](const json::Value& value) {
    return render_agent(value, session.out_style(), session.now());
  });
  if (auto hint = way_out(*agent); hint && session.for_people()) session.say(fmt::format("hint: {}", *hint));
  return 0;
}

Result<int> run_health(Session& session) {
  const std::string& name = session.given().required("NAME");
  GANTRY_TRY(ApiClient * api, session.api());
  auto health = api->get(agent_path(name, "health"));
  if (!health) return std::unexpected(about_agent(*api, name, std::move(health).error()));
  const json::Array& instances = array_at(*health, "instances");
  session.print_value(*health, "agent", [&](const json::Value& value) {
    std::string status = text_at(value, "status");
    return fmt::format(
        "{} is {}\n{}", text_at(value, "agent"), session.out_style().paint(tint_of_status(status), status),
        render_listing(health_listing(session.now()), probe_rows(instances), session.format(), session.canvas()));
  });
  bool healthy = !instances.empty() &&
                 std::ranges::all_of(instances, [](const json::Value& row) { return bool_at(row, "healthy"); });
  if (!healthy) session.suggest(fmt::format("gantry logs {} --tail 50", name));
  return healthy ? 0 : 1;
}

}  // namespace gantry::cli
