// Builds the parts of a server in order and takes them down in the opposite order. Private to this folder.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "agents/agents.h"
#include "audit/audit.h"
#include "identity/identity.h"
#include "journal/journal.h"
#include "net/net.h"
#include "proxy/proxy.h"
#include "requests/requests.h"
#include "sandbox/sandbox.h"
#include "server/server.h"
#include "store/store.h"
#include "telemetry/telemetry.h"
#include "vault/vault.h"
#include "webhooks/webhooks.h"

namespace gantry::server {

class Api;

/// What can be asked of a server's state.
enum class Phase { starting, ready, draining };

/// Everything that lives as long as the server. Members are in the order of construction.
class Composition {
 public:
  explicit Composition(ServeOptions options);
  ~Composition();

  /// Starts everything; the error names the part.
  Result<void> start();
  /// Drains and stops. Idempotent.
  void stop();
  Ready ready() const;

  Phase phase() const { return phase_.load(); }
  /// Makes `serve` return as if SIGTERM had come.
  void request_shutdown();

  const ServeOptions& options() const { return options_; }
  const std::filesystem::path& data() const { return data_; }
  Time started_at() const { return started_at_; }
  std::string url() const;
  Scope scope() const { return Scope::standard(); }

  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  telemetry::Logger& log() { return log_; }
  IoThreads& threads() { return *threads_; }
  BlockingPool& blocking() { return *blocking_; }
  store::Database& database() { return *database_; }
  identity::Identity& identity() { return *identity_; }
  vault::Vault& vault() { return *vault_; }
  journal::Journal& journal() { return *journal_; }
  audit::Trail& audit() { return *audit_; }
  requests::Requests& requests() { return *requests_; }
  sandbox::Driver& sandbox() { return *sandbox_; }
  agents::Agents& agents() { return *agents_; }
  proxy::Proxy& proxy() { return *proxy_; }
  webhooks::Webhooks& webhooks() { return *webhooks_; }

 private:
  Result<void> lock_data();
  Result<void> open_log();
  Result<void> open_store();
  Result<void> open_vault();
  void make_journal();
  Result<void> open_sandbox();
  Result<agents::Limits> configured_quotas() const;
  Result<void> make_features();
  Result<void> make_webhooks();
  Result<void> start_features();
  Result<void> listen();
  Result<void> write_server_file();

  ServeOptions options_;
  std::filesystem::path data_;
  SystemClock clock_;
  SystemRandom random_;
  Time started_at_;
  std::atomic<Phase> phase_ = Phase::starting;
  os::Fd lock_;
  std::unique_ptr<telemetry::LogWriter> log_writer_;
  telemetry::Logger log_;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<BlockingPool> blocking_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<identity::Identity> identity_;
  std::unique_ptr<vault::Vault> vault_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<audit::Trail> audit_;
  std::unique_ptr<requests::Requests> requests_;
  std::unique_ptr<sandbox::Driver> sandbox_;
  std::unique_ptr<agents::Agents> agents_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<webhooks::Webhooks> webhooks_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<net::Server> server_;
  bool stopped_ = false;
};

}  // namespace gantry::server
