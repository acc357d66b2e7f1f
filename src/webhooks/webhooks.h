// Webhooks: signed calls to an outside address when a durable request changes its status.
//
//   Webhooks    the facade: make, change, rotate, test, list deliveries, replay; one for the server
//   Webhook     one of them as callers see it; its secret is shown when it is made and never again
//   hosts.h     where webhooks may go: allow-list, and no address inside our own network
//   signature.h the headers of Standard Webhooks (v1, HMAC-SHA256)
//   message.h   what is told: which record means which event, body and id of a delivery
//
// A delivery is a durable request itself, in a queue named `webhook:NAME`: accepted, tried again, recorded, listed and
// replayed by requests/. Which deliveries there are is derived from the journal by a projection with a position of its
// own, and a delivery's id follows from webhook, request and event, so that a crash neither loses nor doubles one.
// Deliveries cause no webhooks.
//
// Owned by the composition root: construct and `load` before `journal.open`, `start` after it, `close` and `join`
// before the journal stops. Thread-safe. Calls that return a Task are for I/O threads; the others only touch memory.
//
// Example:
//
//   GANTRY_CO_TRY(Made made, co_await webhooks.make(scope, {.name = "ops", .url = "https://example.com/hook"}));
//   show_once(made.secret.reveal());
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "journal/journal.h"
#include "requests/requests.h"
#include "store/store.h"
#include "telemetry/telemetry.h"
#include "webhooks/hosts.h"

namespace gantry::webhooks {

GANTRY_ID(WebhookId, "whk");

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// What a webhook can be told of. Each follows from one record of the journal; what a restart of the server interrupts
/// has no record and shows as the next `processing`.
enum class Event : uint8_t {
  accepted,    ///< a request was taken over
  processing,  ///< an attempt began
  retrying,    ///< an attempt ended without an answer; there will be another
  completed,   ///< answered
  failed,      ///< a dead letter
  cancelled,   ///< taken back by somebody
  requeued,    ///< a dead letter goes out again
};
/// `request.completed`. Static lifetime.
std::string_view to_string(Event event);
/// The event with that spelling.
std::optional<Event> event_from_string(std::string_view text);
/// All of them, in the order of a request's life.
std::span<const Event> all_events();

/// A webhook as callers see it.
struct Webhook {
  WebhookId id;
  Scope scope;
  std::string name;
  std::string url;
  std::vector<Event> events;
  std::string agent;  ///< only requests of this agent; empty: of all
  bool enabled = true;
  std::string disabled_reason;           ///< why we disabled it; empty if the user did
  std::optional<Time> old_secret_until;  ///< deliveries carry a second signature until then
  Time created_at;
  Time updated_at;
};

/// What a new webhook is made of.
struct NewWebhook {
  std::string name;
  std::string url;
  std::vector<Event> events = {Event::completed, Event::failed};
  std::string agent = {};
};

/// What is changed of a webhook; what is not set stays.
struct Change {
  std::optional<std::string> url = {};
  std::optional<std::vector<Event>> events = {};
  std::optional<std::string> agent = {};  ///< empty: all agents
  std::optional<bool> enabled = {};
};

/// A webhook with a secret that the caller sees now and never again: `whsec_` and base64.
struct Made {
  Webhook webhook;
  telemetry::Secret secret;
};

/// One line of the delivery log.
struct Delivery {
  requests::RequestView request;  ///< the durable request that carries it
  std::string message_id;         ///< the header webhook-id: a replay keeps it
  std::string event;              ///< `request.completed`; empty if the record cannot be read any more
  std::string subject;            ///< id of the request that changed; empty for a test
};
struct DeliveryPage {
  std::vector<Delivery> deliveries;
  uint64_t next = 0;  ///< the cursor of the next page, 0 at the end
};

/// Bounds and times.
struct Options {
  AllowedHosts hosts;
  /// PEM: trusted besides the machine's certificates, for receivers with an authority of their own. Empty: none.
  std::string ca_file = {};
  /// Webhooks of one scope.
  size_t max_webhooks = 100;
  /// Deliveries of one webhook that wait; a webhook whose receiver lets it come to this is disabled.
  size_t max_waiting = 100'000;
  /// Calls to one receiver at once, and to all.
  size_t max_in_flight = 4;
  size_t max_in_flight_overall = 64;
  /// One call: everything, and connecting.
  Duration timeout = std::chrono::seconds(15);
  Duration connect_timeout = std::chrono::seconds(5);
  requests::RetryPolicy retry = {
      .max = 10,
      .backoff = {
          .policy = Backoff::Policy::exponential, .initial = std::chrono::seconds(5), .cap = std::chrono::hours(1)}};
  /// What is recorded of an answer.
  Bytes answer_limit = kibibytes(8);
  /// Between two tries to write a record that the journal refused.
  Duration journal_retry = std::chrono::milliseconds(500);
};

/// What the folder is built on; all outlive it.
struct Parts {
  journal::Journal& journal;
  store::Database& database;
  requests::Requests& requests;
  IoThreads& threads;
  BlockingPool& blocking;
  Clock& clock;
  Random& random;
  telemetry::Logger& logger;
};

/// How long the old secret signs beside the new one if nobody says otherwise.
inline constexpr Duration default_grace = std::chrono::hours(24);
/// The longest time for that.
inline constexpr Duration longest_grace = std::chrono::hours(24 * 30);

/// See the head of this file. GR1101 for a name that does not exist in the scope.
class Webhooks {
 public:
  /// Registers a projection of the journal and a listener of the queues.
  Webhooks(Parts parts, Options options);
  ~Webhooks();

  /// Reads what there is. Blocks; before `journal.open`.
  Result<void> load();
  /// Starts delivering. After the journal is open.
  void start();
  /// No more deliveries begin; calls that have not ended after `patience` are interrupted and go out again after the
  /// next start. Returns at once.
  void close(Duration patience);
  /// After `close`: returns when every call has ended. Idempotent. Not from an I/O thread.
  void join();

  /// By name.
  std::vector<Webhook> list(const Scope& scope) const;
  Result<Webhook> get(const Scope& scope, std::string_view name) const;

  // ---- Changes. Each returns when it is durable.

  /// `invalid`, GR1102 (address not allowed), GR1103 (name taken), GR1104 (too many).
  Task<Result<Made>> make(Scope scope, NewWebhook wanted);
  /// What happens after this goes by the change; deliveries that wait go to the new URL.
  Task<Result<Webhook>> change(Scope scope, std::string name, Change change);
  /// Deliveries that wait become dead letters.
  Task<Result<void>> remove(Scope scope, std::string name);
  /// A new secret; the old one signs too for `grace`. One that was old before is dropped.
  Task<Result<Made>> rotate(Scope scope, std::string name, Duration grace);

  // ---- Deliveries.

  /// Sends a message of type `webhook.test`; the id of its delivery. GR1105 if the webhook is disabled.
  Task<Result<RequestId>> test(Scope scope, std::string name, std::string principal);
  /// The newest first. Of `filter` the agent is ignored.
  Task<Result<DeliveryPage>> deliveries(Scope scope, std::string name, requests::Filter filter);
  /// Sends a recorded message again as a new delivery with the same webhook-id; the id of that delivery.
  Task<Result<RequestId>> replay(Scope scope, std::string name, RequestId delivery, std::string principal);
  /// Unfinished deliveries.
  requests::Counts counts(const WebhookId& id) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gantry::webhooks
