// The HTTP API as the command line uses it: JSON in, JSON out, problems as Error.
//
// Every call blocks on an io_context of its own (net's blocking client). A problem+json answer becomes
// an Error with the server's code, reason, hint and id, so the exit code follows. A server that cannot
// be reached is GR0002 and names the address and the next command.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/base.h"
#include "cli/exec_call.h"
#include "config/config.h"
#include "json/json.h"
#include "net/net.h"
#include "telemetry/telemetry.h"

namespace gantry::cli {

/// Where the server is and how it knows us.
struct ServerAddress {
  std::string url;
  telemetry::Secret key;
};

/// `--url` and `--key` (or their variables and files), else server.json and root.key in the data
/// directory. GR0002 if neither is there.
Result<ServerAddress> find_server(const config::Config& config);

/// Calls the API of one server. For one thread.
class ApiClient {
 public:
  explicit ApiClient(ServerAddress address) : address_(std::move(address)), http_({}) {}

  const std::string& url() const { return address_.url; }

  Result<json::Value> get(std::string_view target);
  Result<json::Value> post(std::string_view target, const std::optional<json::Value>& body = {},
                           std::optional<Duration> timeout = {});
  Result<json::Value> put(std::string_view target, const json::Value& body);
  Result<json::Value> patch(std::string_view target, const json::Value& body);
  Result<json::Value> remove(std::string_view target);
  /// Every page of a list, up to `limit` rows.
  Result<json::Array> list(std::string_view target, uint64_t limit = max_rows);

  /// A request with our key; `target` begins with `/`.
  Result<net::OutgoingRequest> prepare(std::string_view method, std::string_view target) const;
  /// The same for the proxy: the key goes into `Gantry-Key`, so that Authorization is free for the agent.
  Result<net::OutgoingRequest> prepare_for_agent(std::string_view method, std::string_view target) const;
  /// Sends it, whatever the answer's status is. Only transport failures are errors.
  Result<net::IncomingResponse> exchange(net::OutgoingRequest request, net::HttpClient::Streams streams = {});

  /// Runs a program beside an agent's; see exec_call.h.
  Result<ExecEnd> exec(net::OutgoingRequest request, ExecCall call);

  /// Rows that `list` collects at most.
  static constexpr uint64_t max_rows = 100'000;
  /// How long an ordinary call may take.
  static constexpr Duration call_timeout = std::chrono::seconds(30);

 private:
  Result<json::Value> call(net::OutgoingRequest request);

  ServerAddress address_;
  net::HttpClient http_;
};

/// The Error that an answer with status ≥ 400 means.
Error error_of(const net::IncomingResponse& answer);
/// A name or a query value as it may stand in a target (RFC 3986 unreserved characters stay).
std::string percent_encode(std::string_view text);

}  // namespace gantry::cli
