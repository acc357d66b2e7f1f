// One delivery of one request to one instance, with its answer recorded and, if a caller is there, relayed.
//
// The answer goes to the caller as it comes, but its end is held back: the owner first makes the record durable and
// then calls `release`. An answer that is short and complete is sent as a whole only then, in one write.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "proxy/spool.h"

namespace gantry::proxy {

/// The request as it goes out; views live as long as the attempt.
struct Outgoing {
  RequestId id;
  uint32_t number = 1;  ///< of the attempt, from 1
  std::string_view method;
  std::string_view target;
  net::Headers headers;  ///< what may be passed on
  net::Headers trailers;
  net::Framing::Kind framing = net::Framing::Kind::none;
  requests::Body body;
};

class Attempt;

/// The attempts under way on one I/O thread, so that a stop can interrupt them. Belongs to that thread.
class Attempts {
 public:
  void add(Attempt& attempt) { all_.insert(&attempt); }
  void remove(Attempt& attempt) { all_.erase(&attempt); }
  /// Interrupts those under way and all that begin later.
  void interrupt_all();
  /// Ends the delivery of a request that was cancelled, if it is here.
  void cancel(const RequestId& id);
  bool interrupted() const { return interrupted_; }

 private:
  std::unordered_set<Attempt*> all_;
  bool interrupted_ = false;
};

/// What an attempt needs from around it.
struct AttemptParts {
  const Parts& parts;
  const Options& options;
  net::Pool& pool;
  std::shared_ptr<Attempts> attempts;
  Scope scope;  ///< whose answer is recorded
};

/// What bounds an attempt, and which answers are failures.
struct AttemptRules {
  Duration silence;             ///< how long the instance may say nothing
  Duration whole{};             ///< from its start to the last byte of the answer; zero for no bound
  Time deadline{};              ///< of the request; the epoch for none
  core::RetryOn retry_on = {};  ///< whose statuses are failures
  Bytes inline_limit;           ///< recorded answers up to this are part of their record
};
/// Of a request with this policy.
AttemptRules rules_of(const core::AgentSpec& spec, const core::Retry& policy, Time deadline);

class Attempt {
 public:
  /// `client` may be null.
  Attempt(AttemptParts parts, agents::Target& target, AttemptRules rules, net::Exchange* client);
  Attempt(const Attempt&) = delete;
  ~Attempt() { parts_.attempts->remove(*this); }

  /// Delivers. True if there is a whole answer: then `record` describes it; else `outcome` and `detail` say why not.
  Task<bool> run(Outgoing outgoing);

  requests::Outcome outcome() const { return outcome_; }
  const std::string& detail() const { return detail_; }
  /// What the program asked for with an answer that counts as a failure.
  std::optional<Duration> retry_after() const { return retry_after_; }
  /// How it went for the circuit breakers.
  agents::Went went() const;
  /// The answer; its views live as long as this object.
  requests::CompletedRecord& record() { return record_; }
  /// A copy of the inline body, for the record.
  std::string inline_body() const { return std::string(record_.body.inline_bytes); }

  /// Sends the rest to the caller. After the record is durable.
  Task<void> release();
  /// True if the caller got a part of the answer: it cannot be given another one.
  bool client_began() const { return client_began_; }
  /// True if the caller is still there.
  bool client_present() const { return client_ != nullptr; }
  /// Gives the connection back to the pool.
  void finish();
  /// Ends the delivery with `Outcome::interrupted`.
  void interrupt();
  /// The request was cancelled: ends the delivery, whose outcome no longer counts.
  void cancel();
  bool cancelled() const { return cancelled_; }
  const RequestId& id() const { return id_; }

 private:
  Task<bool> exchange_once(Outgoing outgoing);
  Task<void> send_blob(Outgoing outgoing);
  Task<void> receive();
  Task<Result<void>> receive_body();
  Task<void> relay(std::string_view piece);
  bool streams() const;
  void fail_with(const Error& error);
  Task<void> refuse_answer();
  SteadyTime patience() const;
  std::string describe_timeout() const;
  Task<bool> begin_client();

  AttemptParts parts_;
  agents::Target& target_;
  std::string key_;
  AttemptRules rules_;
  SteadyTime ends_at_;  ///< of the whole attempt
  net::Exchange* client_;
  net::ClientConnection connection_;
  net::ResponseHead head_;
  Spool spool_;
  std::string_view held_;  ///< the last piece, not yet sent
  bool held_is_all_ = false;
  bool client_began_ = false;
  bool fresh_ = false;
  bool answered_ = false;
  bool interrupted_ = false;
  bool cancelled_ = false;
  RequestId id_;
  std::string id_text_;
  requests::Outcome outcome_ = requests::Outcome::running;
  std::string detail_;
  std::optional<Duration> retry_after_;
  requests::CompletedRecord record_;
};

/// A fresh connection to the program of an instance.
Task<Result<net::ClientConnection>> open_connection(agents::Target& target, Duration timeout);

/// The fields of a message that may be passed on, in order (RFC 9110 7.6.1), as views.
std::vector<net::Header> passable(net::Headers headers, net::Direction direction,
                                  Call::Authorization authorization = Call::Authorization::of_agent);

}  // namespace gantry::proxy
