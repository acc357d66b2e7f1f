// The demo: two programs, two murders, and a count at the end.
#include <fmt/format.h>

#include <algorithm>

#include "cli/demo/load.h"
#include "cli/demo/programs.h"
#include "cli/demo/stage.h"
#include "cli/handlers.h"
#include "cli/interrupt.h"

namespace gantry::cli {
namespace {

constexpr Duration look_interval = std::chrono::milliseconds(15);
constexpr Duration ready_timeout = std::chrono::seconds(15);
constexpr Duration middle_timeout = std::chrono::seconds(10);
constexpr Duration finish_timeout = std::chrono::seconds(20);
/// Fewer would all be done before anything can be killed in the middle of them.
constexpr uint64_t fewest_requests = 12;
constexpr uint64_t most_requests = 1000;
constexpr size_t shown_misfits = 20;

/// What one agent shows at the end.
struct Figures {
  std::string agent;
  size_t sent = 0;         ///< by the callers
  size_t accepted = 0;     ///< in the journal
  size_t answered = 0;     ///< completed, with 200 from the agent
  size_t redelivered = 0;  ///< with two attempts or more
  size_t counted = 0;      ///< by the agent itself
  size_t repeated = 0;     ///< done twice by the agent: the work ended, but not its answer; delivery is at least once
  size_t lost = 0;         ///< accepted, but the agent has no trace of it

  bool fit() const { return accepted == sent && answered == sent && counted == sent && lost == 0; }
};

/// Requests of an agent by item, as the journal has them.
using Journaled = std::map<std::string, json::Value>;

class Demo {
 public:
  explicit Demo(Session& session) : session_(session), stage_(session), start_(session.steady()) {}
  /// The server first: callers that still wait for an answer end with it.
  ~Demo() { stage_.clear(); }

  Result<int> run() {
    GANTRY_TRY_VOID(choose_programs());
    GANTRY_TRY_VOID(start_everything());
    GANTRY_TRY_VOID(kill_an_agent());
    GANTRY_TRY_VOID(kill_the_server());
    GANTRY_TRY_VOID(wait_for_all());
    GANTRY_TRY(auto figures, count());
    load_->stop();
    const Duration took = session_.steady() - start_;
    stage_.clear();
    return show(figures, took);
  }

 private:
  // ---- The steps ------------------------------------------------------------------------------

  Result<> choose_programs() {
    if (!find_in_usual_places("python3"))
      return std::unexpected(Error(Code::unsupported, "python3 is not installed").with_hint("apt-get install python3"));
    programs_.push_back({"counter", "Python", "app.py", python_counter, {"python3", "app.py"}, "/items"});
    has_node_ = find_in_usual_places("node").has_value();
    if (has_node_)
      programs_.push_back({"notes", "Node", "app.js", node_notes, {"node", "app.js"}, "/notes"});
    else
      session_.say("node is not installed, so the demo goes on with the Python program alone");
    requests_ = std::clamp<uint64_t>(session_.given().number_or_fallback("--requests"), fewest_requests, most_requests);
    return {};
  }

  Result<> start_everything() {
    tell("starting a server with an empty data directory");
    GANTRY_TRY_VOID(stage_.open());
    tell(fmt::format("it is ready at {} (pid {})", stage_.address().url, stage_.server_pid()));
    std::vector<std::string> names;
    for (const auto& program : programs_) names.push_back(fmt::format("'{}' ({})", program.agent, program.language));
    tell(fmt::format("deploying {}: plain HTTP servers that know nothing of Gantry", fmt::join(names, " and ")));
    for (const auto& program : programs_) GANTRY_TRY_VOID(stage_.deploy(program));
    GANTRY_TRY_VOID(stage_.wait_until_ready(programs_, ready_timeout));
    tell("ready, each in a sandbox of its own; no port of theirs is open on this machine");

    std::vector<DemoItem> items;
    for (const auto& program : programs_)
      for (uint64_t i = 1; i <= requests_; ++i)
        items.push_back({program.agent, program.path, fmt::format("{}-{:03}", program.agent, i)});
    tell(fmt::format("sending {} durable requests to each; one takes 200 ms of work", requests_));
    load_.emplace(std::move(items));
    load_->go(stage_.address());
    return {};
  }

  Result<> kill_an_agent() {
    const std::string& victim = programs_.front().agent;
    GANTRY_TRY_VOID(until(middle_timeout, "an agent in the middle of work", [&]() -> Result<bool> {
      GANTRY_TRY(json::Value agent, stage_.api().get("/v1/agents/" + victim));
      return load_->counts().answered >= 1 && int_at(agent, "processing") > 0;
    }));
    GANTRY_TRY(int64_t pid, stage_.kill_agent(victim));
    tell(fmt::format("kill -9 {}: the {} program dies in the middle of its work", pid, programs_.front().language),
         Tint::bad);
    return {};
  }

  Result<> kill_the_server() {
    const size_t half = load_->items().size() / 2;
    GANTRY_TRY_VOID(until(middle_timeout, "a server in the middle of work", [&]() -> Result<bool> {
      GANTRY_TRY(json::Value status, stage_.api().get("/v1/status"));
      return load_->counts().answered >= half && int_at(status, "requests.processing") > 0;
    }));
    const pid_t pid = stage_.server_pid();
    load_->hold();
    stage_.kill_server();
    tell(fmt::format("kill -9 {}: the server dies too, with {} of {} answered", pid, load_->counts().answered,
                     load_->items().size()),
         Tint::bad);
    const SteadyTime before = session_.steady();
    GANTRY_TRY_VOID(stage_.start_server());
    tell(fmt::format("the server is back on the same data after {} (pid {})",
                     format_duration_short(session_.steady() - before), stage_.server_pid()));
    return {};
  }

  Result<> wait_for_all() {
    // A caller whose connection broke asks the journal whether its request was accepted, as any client
    // would before it sends again.
    std::map<std::string, std::set<std::string>> accepted;
    for (const auto& program : programs_) {
      GANTRY_TRY(Journaled journaled, journal_of(program.agent));
      for (const auto& [item, row] : journaled) accepted[program.agent].insert(item);
    }
    const size_t broken = load_->counts().broken;
    const size_t again = load_->send_again(accepted);
    tell(fmt::format("{} callers lost their connection; {} of their requests were in the journal, {} are sent again",
                     broken, broken - again, again));
    load_->go(stage_.address());
    return until(finish_timeout, "every request to be finished", [&]() -> Result<bool> { return all_finished(); });
  }

  Result<bool> all_finished() {
    const auto counts = load_->counts();
    if (counts.sent < load_->items().size()) return false;
    for (const auto& program : programs_) {
      GANTRY_TRY(Journaled journaled, journal_of(program.agent));
      size_t finished = static_cast<size_t>(std::ranges::count_if(journaled, [](const auto& entry) {
        std::string status = text_at(entry.second, "status");
        return status == "completed" || status == "failed";
      }));
      if (finished < requests_) return false;
    }
    return true;
  }

  /// Asks journal and agents; nothing is taken from what the callers remember but the number sent.
  Result<std::vector<Figures>> count() {
    tell("every request is finished; counting", Tint::good);
    std::vector<Figures> all;
    for (const auto& program : programs_) {
      Figures figures{.agent = program.agent, .sent = requests_};
      GANTRY_TRY(Journaled journaled, journal_of(program.agent));
      GANTRY_TRY(json::Value written, stage_.api().get(fmt::format("/agent/{}{}", program.agent, program.path)));
      std::set<std::string> items;
      for (const auto& item : array_at(written, "items"))
        items.insert(std::string(item.is_string() ? item.get_string() : ""));
      for (const auto& [item, row] : journaled) {
        ++figures.accepted;
        if (text_at(row, "status") == "completed" && int_at(row, "response_status") == 200) ++figures.answered;
        if (int_at(row, "attempts") >= 2) ++figures.redelivered;
        if (!items.contains(item)) ++figures.lost;
        if (!items.contains(item) || int_at(row, "response_status") != 200) misfits_.push_back(misfit_in_words(row));
      }
      figures.counted = static_cast<size_t>(int_at(written, "count"));
      figures.repeated = static_cast<size_t>(int_at(written, "lines")) - figures.counted;
      all.push_back(std::move(figures));
    }
    return all;
  }

  // ---- What is shown --------------------------------------------------------------------------

  Result<int> show(const std::vector<Figures>& all, Duration took) {
    json::Array rows;
    bool fits = true;
    size_t redelivered = 0;
    for (const auto& figures : all) {
      rows.push_back(json::Object{{"agent", figures.agent},
                                  {"sent", figures.sent},
                                  {"accepted", figures.accepted},
                                  {"answered", figures.answered},
                                  {"redelivered", figures.redelivered},
                                  {"counted", figures.counted},
                                  {"repeated", figures.repeated},
                                  {"lost", figures.lost}});
      fits = fits && figures.fit();
      redelivered += figures.redelivered;
    }
    // Two kills in the middle of work that made nothing be delivered again would prove nothing.
    fits = fits && redelivered > 0;
    json::Value result = json::Object{
        {"ok", fits},         {"duration_ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()},
        {"agents_killed", 1}, {"servers_killed", 1},
        {"node", has_node_},  {"agents", rows}};
    session_.print_value(result, "ok", [&](const json::Value&) { return "\n" + table(rows); });
    if (!fits) {
      for (size_t i = 0; i < std::min(misfits_.size(), shown_misfits); ++i) session_.say(misfits_[i]);
      return fail(ErrorId::GR0806, "the figures do not fit together");
    }
    if (session_.for_people()) {
      session_.say(fmt::format("\n{} every accepted request was answered, and the agents counted them themselves ({})",
                               session_.err_style().paint(Tint::good, "nothing was lost:"),
                               format_duration_short(took)));
      session_.suggest("gantry up --detach", "a server that stays");
      session_.suggest("gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot", "your own program");
    }
    return 0;
  }

  static std::string misfit_in_words(const json::Value& row) {
    return fmt::format("{} {} is {} after {} attempts, answer {}: {}", text_at(row, "id"), text_at(row, "target"),
                       text_at(row, "status"), int_at(row, "attempts"), int_at(row, "response_status"),
                       text_at(row, "reason"));
  }

  std::string table(const json::Array& rows) {
    auto lost = [](const json::Value& row) {
      int64_t count = int_at(row, "lost");
      return Cell{std::to_string(count), count == 0 ? Tint::good : Tint::bad};
    };
    Listing listing{{text_column("AGENT", "agent"),
                     number_column("SENT", "sent"),
                     number_column("ACCEPTED", "accepted"),
                     number_column("ANSWERED", "answered"),
                     number_column("REDELIVERED", "redelivered"),
                     number_column("COUNTED BY AGENT", "counted"),
                     number_column("TWICE", "repeated"),
                     {"LOST", lost, Detail::always, Align::right}},
                    "agent",
                    ""};
    return render_table(listing, rows, Format::table, session_.canvas());
  }

  void tell(std::string_view words, Tint tint = Tint::plain) {
    if (!session_.for_people()) return;
    auto seconds = std::chrono::duration<double>(session_.steady() - start_).count();
    const Style& style = session_.err_style();
    session_.say(
        fmt::format("{}  {}", style.paint(Tint::dim, fmt::format("{:6.2f} s", seconds)), style.paint(tint, words)));
  }

  // ---- Waiting and asking ---------------------------------------------------------------------

  /// Looks until `reached`, a failure, Ctrl-C or the end of patience (GR0806: the demo did not go as it must).
  Result<> until(Duration patience, std::string_view what, const std::function<Result<bool>()>& reached) {
    const SteadyTime deadline = session_.steady() + patience;
    for (;;) {
      if (interrupt_.raised()) return fail(Code::cancelled, "interrupted; everything is cleaned up");
      GANTRY_TRY(bool done, reached());
      if (done) return {};
      if (session_.steady() >= deadline)
        return fail(ErrorId::GR0806, "waited {} in vain for {}", format_duration_short(patience), what);
      (void)session_.environment().pause(look_interval);
    }
  }

  Result<Journaled> journal_of(const std::string& agent) {
    GANTRY_TRY(json::Array rows, stage_.api().list("/v1/requests?agent=" + agent));
    Journaled found;
    for (auto& row : rows) {
      std::string target = text_at(row, "target");
      std::string item = target.substr(target.rfind('/') + 1);
      found.emplace(std::move(item), std::move(row));
    }
    return found;
  }

  Session& session_;
  InterruptFlag interrupt_;
  DemoStage stage_;
  std::optional<DemoLoad> load_;
  SteadyTime start_;
  std::vector<DemoProgram> programs_;
  uint64_t requests_ = 0;
  bool has_node_ = false;
  /// Requests that a report of this defect should name.
  std::vector<std::string> misfits_;
};

}  // namespace

Result<int> run_demo(Session& session) {
  Demo demo(session);
  return demo.run();
}

}  // namespace gantry::cli
