// /v1/audit: who did what to stored requests.
#include "server/request_json.h"

namespace gantry::server {

Task<Api::Handled> Api::list_audit(Context& context) {
  audit::Filter filter;
  filter.action = context.find("action").value_or("");
  filter.subject = context.find("subject").value_or("");
  filter.principal = context.find("principal").value_or("");
  GANTRY_CO_TRY(filter.limit, limit_of(context));
  GANTRY_CO_TRY(auto since, duration_of(context, "since"));
  if (since) filter.since = server_.clock().now() - *since;
  auto after = context.find("after");
  GANTRY_CO_TRY(filter.before_seq, cursor_of(after ? std::optional<std::string>(*after) : std::nullopt));
  GANTRY_CO_TRY(audit::Page page, co_await server_.audit().list(context.scope, filter));
  json::Array data;
  for (audit::Recorded& recorded : page.entries)
    data.push_back(json::Object{{"seq", recorded.seq},
                                {"at", format_time(recorded.at)},
                                {"principal", recorded.entry.principal},
                                {"action", recorded.entry.action},
                                {"subject", recorded.entry.subject},
                                {"details", std::move(recorded.entry.details)}});
  co_return Reply{.body = listing(std::move(data), page.next ? std::to_string(page.next) : "")};
}

Task<void> Api::note(Context& context, std::string action, std::string subject, json::Object details) {
  audit::Entry entry{.principal = context.principal, .action = action, .subject = subject, .details = details};
  auto done = co_await server_.audit().record(context.scope, std::move(entry));
  if (!done)
    server_.log().error("an audit entry could not be recorded", telemetry::field("action", action),
                        telemetry::field("subject", subject), telemetry::field("principal", context.principal),
                        telemetry::field("error", done.error()));
}

Task<void> Api::note_read(Context& context, std::string action, std::string subject) {
  audit::Entry entry{.principal = context.principal, .action = action, .subject = subject, .details = {}};
  auto done = co_await server_.audit().record_read(context.scope, std::move(entry));
  if (!done)
    server_.log().error("an audit entry could not be recorded", telemetry::field("action", action),
                        telemetry::field("subject", subject), telemetry::field("principal", context.principal),
                        telemetry::field("error", done.error()));
}

}  // namespace gantry::server
