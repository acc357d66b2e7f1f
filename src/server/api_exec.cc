// POST /v1/agents/{name}/exec: a program beside the one that an instance runs.
#include "server/api.h"
#include "server/exec_session.h"

namespace gantry::server {
namespace {

// Until the first frame is whole; the next may be long in coming.
Task<Result<ExecRequest>> read_request(net::Exchange& exchange, core::ExecFrameReader& reader) {
  for (;;) {
    GANTRY_CO_TRY(auto message, reader.next());
    if (message && message->type == core::ExecFrame::start) co_return parse_exec_request(message->bytes);
    if (message) co_return fail(Code::invalid, "the first frame is not `start`");
    GANTRY_CO_TRY(std::string_view piece, co_await exchange.read_some());
    if (piece.empty()) co_return fail(Code::invalid, "the body ends before the frame `start`");
    reader.feed(piece);
  }
}

}  // namespace

Task<Api::Handled> Api::exec_agent(Context& context) {
  net::Exchange& exchange = context.exchange;
  const std::string name = context.parameters.at(0);
  auto type = exchange.request().headers.find("Content-Type");
  if (!type || *type != core::exec_media_type)
    co_return std::unexpected(Error(Code::invalid, fmt::format("Content-Type: {} is needed", core::exec_media_type))
                                  .with_hint("gantry exec"));
  exchange.set_body_limit(UINT64_MAX);  // it is relayed, not kept
  core::ExecFrameReader reader;
  auto request = co_await read_request(exchange, reader);
  if (!request) co_return std::unexpected(std::move(request).error().wrap("exec"));
  // Arguments may hold secrets; the trail names the program.
  const std::string program = request->program.command.front();
  GANTRY_CO_TRY(auto exec,
                co_await server_.agents().exec(context.scope, name,
                                               {request->instance, request->replica, std::move(request->program)}));
  co_await note(context, "agent.exec", name, {{"program", program}});
  auto started = exchange.start(200, {{"Content-Type", core::exec_media_type}, {"Cache-Control", "no-store"}},
                                net::Framing::chunked());
  if (!started) co_return std::unexpected(std::move(started).error());
  co_await exchange.flush();
  ExecSession session(exchange, std::move(reader), std::move(exec), server_.clock());
  co_await session.run();
  co_return std::optional<Reply>{};
}

}  // namespace gantry::server
