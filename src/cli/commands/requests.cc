#include "cli/commands/requests.h"

#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr Duration poll_interval = std::chrono::milliseconds(150);

Cell status_cell(const json::Value& request) {
  std::string status = text_at(request, "status");
  Tint tint = tint_of_status(status);
  return {bool_at(request, "dead_letter") ? status + " (dead letter)" : status, tint};
}

Cell answer_cell(const json::Value& request) {
  int64_t status = int_at(request, "response_status");
  if (status == 0) return {"-"};
  return {std::to_string(status), status >= 500 ? Tint::bad : status >= 400 ? Tint::warn : Tint::plain};
}

std::string took(const json::Value& request) {
  const json::Value* ms = json::find(request, "duration_ms");
  if (ms == nullptr || !ms->is_number()) return "-";
  return format_duration_short(std::chrono::milliseconds(int_at(request, "duration_ms")));
}

}  // namespace

std::string request_path(std::string_view id, std::string_view rest) {
  return fmt::format("/v1/requests/{}{}{}", percent_encode(id), rest.empty() ? "" : "/", rest);
}

Error about_request(Error error) { return std::move(error).with_hint("gantry requests list"); }

json::Object filter_object(const Invocation& given) {
  static constexpr std::pair<std::string_view, std::string_view> names[] = {{"--agent", "agent"},
                                                                            {"--status", "status"},
                                                                            {"--older-than", "older_than"},
                                                                            {"--newer-than", "newer_than"},
                                                                            {"--path", "path"},
                                                                            {"--reason", "reason"},
                                                                            {"--text", "text"},
                                                                            {"--idempotency-key", "key"}};
  json::Object filter;
  for (const auto& [flag, name] : names)
    if (auto value = given.text(flag)) filter[name] = *value;
  return filter;
}

std::string filter_query(const Invocation& given) {
  std::string query;
  for (const auto& member : filter_object(given))
    query += fmt::format("{}{}={}", query.empty() ? "?" : "&", std::string_view(member.key()),
                         percent_encode(std::string_view(member.value().get_string())));
  return query;
}

Listing request_listing(Time now) {
  return {{text_column("ID", "id"),
           text_column("AGENT", "agent"),
           {"STATUS", status_cell},
           number_column("ATTEMPTS", "attempts"),
           {"ANSWER", answer_cell, Detail::always, Align::right},
           {"TOOK", [](const json::Value& row) { return Cell{took(row)}; }, Detail::always, Align::right},
           age_column("AGE", "created_at", now),
           text_column("REPLAY OF", "replay_of", Detail::wide),
           text_column("REASON", "reason", Detail::wide),
           text_column("METHOD", "method"),
           text_column("TARGET", "target")},
          "id",
          "no requests"};
}

namespace {

/// Every line of `text` with `indent` spaces in front.
std::string indented(std::string_view text, size_t indent) {
  std::string out;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    out += std::string(indent, ' ') + printable_line(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string render_body(const json::Value& message, const Style& style) {
  const json::Value* body = json::find(message, "body");
  if (body == nullptr || !body->is_object() || int_at(*body, "bytes") == 0) return "";
  Bytes size{static_cast<uint64_t>(int_at(*body, "bytes"))};
  bool truncated = bool_at(*body, "truncated");
  std::string note = fmt::format("    {}\n", style.paint(Tint::dim, fmt::format("body, {}{}", format_bytes_short(size),
                                                                                truncated ? ", the beginning:" : ":")));
  if (json::find(*body, "text") == nullptr)
    return note + fmt::format("    {}\n", style.paint(Tint::dim, "(binary; -o json shows it as base64)"));
  std::string text = text_at(*body, "text");
  auto value = json::parse(text);
  return note + indented(value ? json::pretty(*value) : text, 4);
}

std::string render_message(const json::Value& message, const Style& style) {
  std::string out;
  for (const auto& header : array_at(message, "headers")) {
    if (!header.is_array() || header.get_array().size() != 2) continue;
    out += fmt::format("    {} {}\n", style.paint(Tint::accent, without_controls(text_at(header, "0")) + ":"),
                       without_controls(text_at(header, "1")));
  }
  return out + render_body(message, style);
}

std::string attempt_duration(const json::Value& attempt) {
  auto started = parse_time(text_at(attempt, "started_at"));
  auto ended = parse_time(text_at(attempt, "ended_at"));
  return started && ended ? format_duration_short(std::max(Duration::zero(), *ended - *started)) : "-";
}

std::string render_attempts(const json::Value& request, const Canvas& canvas) {
  const json::Array& log = array_at(request, "attempt_log");
  if (log.empty()) return "  none yet\n";
  Listing listing{
      {number_column("ATTEMPT", "attempt"),
       status_column("OUTCOME", "outcome"),
       text_column("STARTED", "started_at"),
       {"TOOK", [](const json::Value& row) { return Cell{attempt_duration(row)}; }, Detail::always, Align::right},
       text_column("INSTANCE", "instance"),
       text_column("DETAIL", "detail")},
      "attempt",
      ""};
  std::string table =
      render_table(listing, log, Format::table, {canvas.style, canvas.width > 2 ? canvas.width - 2 : 0});
  std::string out;
  for (std::string_view rest = table; !rest.empty();) {
    size_t end = rest.find('\n') + 1;
    out += fmt::format("  {}", rest.substr(0, end));
    rest.remove_prefix(end);
  }
  return out;
}

// What is not the same in two attempts that follow each other, and how long there was nothing in between.
std::string difference(const json::Value& before, const json::Value& after) {
  std::vector<std::string> parts;
  if (text_at(before, "instance") != text_at(after, "instance")) parts.push_back("another instance");
  for (std::string_view name : {"outcome", "detail"}) {
    std::string was = text_at(before, name), is = text_at(after, name);
    if (was == is) continue;
    auto word = [](const std::string& text) { return text.empty() ? std::string("none") : without_controls(text); };
    parts.push_back(fmt::format("{} {} → {}", name, word(was), word(is)));
  }
  auto ended = parse_time(text_at(before, "ended_at"));
  auto started = parse_time(text_at(after, "started_at"));
  if (parts.empty()) parts.push_back("the same");
  if (ended && started)
    parts.push_back(
        fmt::format("began {} later", format_duration_short(std::max(Duration::zero(), *started - *ended))));
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string render_differences(const json::Value& request, const Style& style) {
  const json::Array& log = array_at(request, "attempt_log");
  std::string out;
  for (size_t i = 1; i < log.size(); ++i)
    out += fmt::format(
        "  {} {}\n",
        style.paint(Tint::accent, fmt::format("{} → {}:", text_at(log[i - 1], "attempt"), text_at(log[i], "attempt"))),
        difference(log[i - 1], log[i]));
  if (out.empty()) return "";
  return fmt::format("\n{}\n{}", style.paint(Tint::bold, "What differs"), out);
}

std::string render_request(const json::Value& request, const Canvas& canvas, Time now) {
  const Style& style = canvas.style;
  std::string next_attempt = text_at(request, "next_attempt_at");
  std::string out = render_pairs(
      {{"Request", {text_at(request, "id"), Tint::bold}},
       {"Agent", {text_at(request, "agent")}},
       {"Status", status_cell(request)},
       {"Reason", {text_at(request, "reason"), Tint::warn}},
       {"Attempts", {text_at(request, "attempts")}},
       {"Next attempt", {next_attempt}},
       {"Created",
        {fmt::format("{} ({} ago)", text_at(request, "created_at"), age_of(text_at(request, "created_at"), now))}},
       {"Requeued", {text_at(request, "requeued_at")}},
       {"Completed", {text_at(request, "completed_at")}},
       {"Took", {took(request) == "-" ? "" : took(request)}},
       {"Replay of", {text_at(request, "replay_of")}}},
      style);
  out += "\n" + style.paint(Tint::bold, "Attempts") + "\n" + render_attempts(request, canvas);
  out += render_differences(request, style);
  out += fmt::format("\n{}\n  {} {}\n", style.paint(Tint::bold, "Request"), text_at(request, "method"),
                     without_controls(text_at(request, "target")));
  if (const json::Value* sent = json::find(request, "request"); sent != nullptr) out += render_message(*sent, style);
  if (const json::Value* original = json::find(request, "original"); original != nullptr)
    out +=
        fmt::format("\n{}\n  {} {}\n{}", style.paint(Tint::bold, "Before it was edited"), text_at(*original, "method"),
                    without_controls(text_at(*original, "target")), render_message(*original, style));
  const json::Value* response = json::find(request, "response");
  if (response != nullptr && response->is_object()) {
    out += fmt::format("\n{}\n  {}\n{}", style.paint(Tint::bold, "Answer"), text_at(*response, "status"),
                       render_message(*response, style));
  }
  return out;
}

bool is_finished(const json::Value& request) {
  std::string status = text_at(request, "status");
  return status == "completed" || status == "failed" || status == "cancelled";
}

}  // namespace

Result<json::Value> wait_until_finished(Session& session, const std::string& id, Duration timeout) {
  GANTRY_TRY(ApiClient * api, session.api());
  const SteadyTime deadline = session.steady() + timeout;
  Progress progress(session);
  for (;;) {
    GANTRY_TRY(json::Value request, api->get(request_path(id)));
    if (is_finished(request)) return request;
    if (session.steady() >= deadline)
      return std::unexpected(
          Error(ErrorId::GR0804,
                fmt::format("{} is still {} after {}", id, text_at(request, "status"), format_duration_short(timeout)))
              .with_hint(fmt::format("gantry requests show {}", id)));
    progress.show(fmt::format("{} is {}", id, text_at(request, "status")));
    GANTRY_TRY_VOID(session.pause(poll_interval));
  }
}

void print_request(Session& session, const json::Value& request) {
  session.print_value(request, "id",
                      [&](const json::Value& value) { return render_request(value, session.canvas(), session.now()); });
}

Result<int> run_requests_list(Session& session) {
  const Invocation& given = session.given();
  if (given.number_or_fallback("--limit") == 0)
    return std::unexpected(
        Error(ErrorId::GR0801, "--limit: 0 would show nothing").with_hint("--limit takes 1 or more"));
  std::string target = "/v1/requests" + filter_query(given);
  if (given.has("--all-queues")) target += fmt::format("{}all_queues=true", target.contains('?') ? "&" : "?");
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    auto rows = api->list(target, given.number_or_fallback("--limit"));
    const std::string name = given.text_or("--agent", "");
    if (!rows) return std::unexpected(about_agent(*api, name, std::move(rows).error()));
    // Of an agent that was removed there may be requests; nothing at all may be a typing error.
    if (rows->empty() && !name.empty() && !name.starts_with("webhook:"))
      if (auto agent = api->get(agent_path(name)); !agent)
        return std::unexpected(about_agent(*api, name, std::move(agent).error()));
    return listing_frame(session, request_listing(session.now()), *rows);
  });
}

Result<int> run_requests_show(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto request = api->get(request_path(session.given().required("ID")));
  if (!request) return std::unexpected(about_request(std::move(request).error()));
  print_request(session, *request);
  if (text_at(*request, "status") == "failed")
    session.suggest(fmt::format("gantry requests requeue {}", text_at(*request, "id")), "edit ID changes it first");
  return 0;
}

Result<int> run_requests_replay(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto started = api->post(request_path(session.given().required("ID"), "replay"));
  if (!started) return std::unexpected(about_request(std::move(started).error()));
  std::string id = text_at(*started, "request_id");
  auto wait = session.given().duration("--wait");
  if (!wait) {
    session.print_value(*started, "request_id", [&](const json::Value&) { return id + "\n"; });
    session.suggest(fmt::format("gantry requests show {}", id));
    return 0;
  }
  GANTRY_TRY(json::Value request, wait_until_finished(session, id, *wait));
  print_request(session, request);
  return text_at(request, "status") == "completed" ? 0 : 1;
}

Result<int> run_requests_cancel(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto cancelled = api->post(request_path(session.given().required("ID"), "cancel"));
  if (!cancelled) return std::unexpected(about_request(std::move(cancelled).error()));
  session.print_value(*cancelled, "id", [&](const json::Value& value) {
    return fmt::format("{} is {}\n", text_at(value, "id"), text_at(value, "status"));
  });
  return 0;
}

}  // namespace gantry::cli
