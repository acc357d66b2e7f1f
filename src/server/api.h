// Routes and authenticates every HTTP request, and serves /v1. Private to this folder.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"
#include "server/composition.h"
#include "server/operations.h"

namespace gantry::server {

/// What a handler of a route knows.
struct Context {
  net::Exchange& exchange;
  std::string principal;
  Scope scope;
  std::vector<std::string> parameters;  ///< of the path, decoded, in order
  std::vector<std::pair<std::string, std::string>> query;

  /// The first value of a query parameter.
  std::optional<std::string_view> find(std::string_view name) const;
};

/// A decoded `?a=b&c`. `+` is a space. `invalid` for a bad escape.
Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query);
/// Undoes %XX. `invalid` for a bad escape or a NUL.
Result<std::string> percent_decode(std::string_view text);

/// One answer as JSON.
struct Reply {
  int status = 200;
  json::Value body;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// `root` is for what concerns the whole server and its keys.
enum class Access { keyed, open, root };

class Api final : public net::Handler {
 public:
  /// A handler answers by returning, or answers on the exchange itself and returns nothing.
  using Handled = Result<std::optional<Reply>>;
  struct Route {
    std::string_view method;
    std::string_view pattern;  ///< `/v1/agents/{name}`
    Access access;
    Task<Handled> (Api::*handler)(Context& context);
  };
  static std::span<const Route> routes();

  Api(Composition& server, Operations operations) : server_(server), operations_(std::move(operations)) {}
  Task<void> handle(net::Exchange& exchange) override;

 private:
  Task<void> handle_proxy(net::Exchange& exchange);
  Task<void> refuse_method(net::Exchange& exchange, std::string allowed);
  Task<void> handle_route(net::Exchange& exchange, const Route& route, std::vector<std::string> parameters);
  /// Whether query and body are such that the operation reads all of them.
  Task<Result<void>> check_input(Context& context, const Route& route);
  Task<Result<void>> answer(net::Exchange& exchange, Reply reply);
  /// Answers with a problem that has an id, under which the log has it, too, if it is our fault.
  Task<Result<void>> refuse(net::Exchange& exchange, Error error, std::string members = {});

  struct Caller {
    std::string principal;
    identity::PrincipalKind kind = identity::PrincipalKind::key;
    Scope scope;
    proxy::Call::Authorization authorization = proxy::Call::Authorization::of_agent;
  };
  Result<Caller> authenticate(net::Headers headers) const;

  // api_server.cc
  Task<Handled> healthz(Context& context);
  Task<Handled> readyz(Context& context);
  Task<Handled> version(Context& context);
  Task<Handled> status(Context& context);
  Task<Handled> doctor(Context& context);
  Task<Handled> doctor_storage(Context& context);
  Task<Handled> openapi(Context& context);
  Task<Handled> shutdown(Context& context);

  // api_encryption.cc
  Task<Handled> encryption(Context& context);
  Task<Handled> rotate_encryption(Context& context);

  // api_agents.cc
  Task<Handled> validate(Context& context);
  Task<Handled> plan(Context& context);
  Task<Handled> put_workdir(Context& context);
  Task<Handled> head_workdir(Context& context);
  Task<Handled> put_agent(Context& context);
  Task<Handled> list_agents(Context& context);
  Task<Handled> get_agent(Context& context);
  Task<Handled> delete_agent(Context& context);
  Task<Handled> apply_verb(Context& context);
  Task<Handled> scale_agent(Context& context);
  Task<Handled> agent_health(Context& context);
  Task<Handled> agent_stats(Context& context);
  Task<Handled> all_stats(Context& context);
  Task<Handled> stats_of(Context& context, std::vector<std::string> names);
  json::Value agent_json(const agents::AgentView& view, agents::Detail detail) const;
  Task<Handled> refuse_source(Context& context, const core::Source& source, const core::Parsed& parsed);

  // api_exec.cc
  Task<Handled> exec_agent(Context& context);

  // api_logs.cc
  Task<Handled> agent_logs(Context& context);
  Task<Handled> all_logs(Context& context);
  Task<Handled> send_logs(Context& context, agents::LogOptions options);

  // api_events.cc
  Task<Handled> list_events(Context& context);
  Task<Handled> follow_events(Context& context, agents::EventFilter filter, std::optional<uint64_t> after);

  // api_quotas.cc
  Task<Handled> list_quotas(Context& context);
  Task<Handled> change_quotas(Context& context);

  // api_requests.cc
  Task<Handled> list_requests(Context& context);
  Task<Handled> get_request(Context& context);
  Task<Handled> get_response(Context& context);
  Task<Handled> replay_request(Context& context);
  Task<Handled> cancel_request(Context& context);

  // api_dead_letters.cc
  Task<Handled> requeue_request(Context& context);
  Task<Handled> requeue_requests(Context& context);
  Task<Handled> purge_request(Context& context);
  Task<Handled> purge_requests(Context& context);
  requests::Requeue requeue_by(const Context& context) const;

  // api_export.cc
  Task<Handled> export_requests(Context& context);
  Task<Result<void>> export_page(net::Exchange& exchange, std::vector<requests::RequestView> views, size_t shown);

  // api_audit.cc
  Task<Handled> list_audit(Context& context);
  /// A deed that is done, and a read that is about to be: that one need not be recorded twice within a minute. What
  /// cannot be recorded is in the log of the server; a disk that is full must not keep anybody from looking.
  Task<void> note(Context& context, std::string action, std::string subject, json::Object details);
  Task<void> note_read(Context& context, std::string action, std::string subject);
  void tell_unrecorded(const audit::Entry& entry, const Result<void>& done);

  // api_webhooks.cc
  Task<Handled> list_webhooks(Context& context);
  Task<Handled> make_webhook(Context& context);
  Task<Handled> get_webhook(Context& context);
  Task<Handled> change_webhook(Context& context);
  Task<Handled> delete_webhook(Context& context);
  Task<Handled> rotate_webhook(Context& context);
  Task<Handled> test_webhook(Context& context);
  Task<Handled> list_deliveries(Context& context);
  Task<Handled> replay_delivery(Context& context);
  Reply made_reply(int status, const webhooks::Made& made) const;

  Composition& server_;
  const Operations operations_;
};

/// The `limit` of a listing: 1 to 1000, 100 if it is not given.
Result<size_t> limit_of(const Context& context);
/// A duration in the query; `fallback` if it is not given.
Result<std::optional<Duration>> duration_of(const Context& context, std::string_view name);
/// A moment in the query: a duration back from `now`, or a time (RFC 3339).
Result<std::optional<Time>> moment_of(const Context& context, std::string_view name, Time now);
/// The conditions, `limit` and `after` of a listing of requests.
Result<requests::Filter> request_filter_of(const Context& context, Time now);
/// The JSON object in the body; every member must be one of `known`. An empty body is an empty object.
Task<Result<json::Value>> read_object(Context& context, size_t limit, std::vector<std::string_view> known);
/// `{"data": …, "next": …}`; no cursor at the end.
json::Value listing(json::Array data, std::string next);

/// What `gantry doctor` prints: every check with its verdict and what to do.
Task<json::Value> examine(Composition& server);
/// What uses space. Blocks.
Result<json::Value> examine_storage(Composition& server);

}  // namespace gantry::server
