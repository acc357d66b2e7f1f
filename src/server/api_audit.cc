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
  GANTRY_CO_TRY(filter.before_seq, cursor_of(lookup_in(context)("after")));
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
  tell_unrecorded(entry, co_await server_.audit().record(context.scope, entry));
}

Task<void> Api::note_read(Context& context, std::string action, std::string subject) {
  audit::Entry entry{.principal = context.principal, .action = action, .subject = subject, .details = {}};
  tell_unrecorded(entry, co_await server_.audit().record_read(context.scope, entry));
}

void Api::tell_unrecorded(const audit::Entry& entry, const Result<void>& done) {
  if (done) return;
  server_.log().error("an audit entry could not be recorded", telemetry::field("action", entry.action),
                      telemetry::field("subject", entry.subject), telemetry::field("principal", entry.principal),
                      telemetry::field("error", done.error()));
}

}  // namespace gantry::server
