// A screen that stays: what agents use, the greediest first.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/stats.h"
#include "cli/handlers.h"
#include "cli/keys.h"

namespace gantry::cli {
namespace {

enum class Order { cpu, memory, requests, name };

Order order_from_string(std::string_view text) {
  if (text == "memory") return Order::memory;
  if (text == "requests") return Order::requests;
  return text == "name" ? Order::name : Order::cpu;
}

std::string_view to_string(Order order) {
  static constexpr std::string_view names[] = {"cpu", "memory", "requests", "name"};
  return names[static_cast<size_t>(order)];
}

std::optional<Order> order_of_key(char key) {
  switch (key) {
    case 'c':
      return Order::cpu;
    case 'm':
      return Order::memory;
    case 'r':
      return Order::requests;
    case 'n':
      return Order::name;
    default:
      return std::nullopt;
  }
}

double weight(const json::Value& row, Order order) {
  switch (order) {
    case Order::cpu:
      return double_at(row, "cpu_percent");
    case Order::memory:
      return static_cast<double>(int_at(row, "memory_bytes"));
    case Order::requests:
      return double_at(row, "recent.per_second");
    case Order::name:
      return 0;
  }
  return 0;
}

// By name among equals, so that rows do not dance.
json::Array sorted(const json::Array& rows, Order order) {
  std::vector<const json::Value*> pointers;
  for (const auto& row : rows) pointers.push_back(&row);
  std::ranges::sort(pointers, [&](const json::Value* a, const json::Value* b) {
    const double left = weight(*a, order), right = weight(*b, order);
    return left != right ? left > right : text_at(*a, "agent") < text_at(*b, "agent");
  });
  json::Array out;
  for (const json::Value* row : pointers) out.push_back(*row);
  return out;
}

std::string agent_of(const json::Value& row) { return text_at(row, "agent"); }

Listing top_listing(const Trends* trends) {
  Listing listing{{text_column("AGENT", "agent"),
                   status_column("STATUS", "status"),
                   {"READY",
                    [](const json::Value& row) {
                      const int64_t ready = int_at(row, "ready"), wanted = int_at(row, "replicas");
                      return Cell{fmt::format("{}/{}", ready, wanted), ready < wanted ? Tint::warn : Tint::plain};
                    }}},
                  "agent",
                  "no agents"};
  for (Column& column : use_columns(trends, agent_of)) listing.columns.push_back(std::move(column));
  return listing;
}

double sum(const json::Array& rows, std::string_view path) {
  double total = 0;
  for (const auto& row : rows) total += double_at(row, path);
  return total;
}

std::string summary(const json::Array& rows) {
  int64_t ready = 0, wanted = 0, memory = 0;
  for (const auto& row : rows) {
    ready += int_at(row, "ready");
    wanted += int_at(row, "replicas");
    memory += int_at(row, "memory_bytes");
  }
  return fmt::format("{} agents, {}/{} instances ready, CPU {:.1f} %, memory {}, {:.1f} requests/s", rows.size(), ready,
                     wanted, sum(rows, "cpu_percent"),
                     format_bytes_short({static_cast<uint64_t>(std::max<int64_t>(0, memory))}),
                     sum(rows, "recent.per_second"));
}

/// The other screen of the terminal, without a cursor and without wrapping lines, as long as it lives.
class FullScreen {
 public:
  explicit FullScreen(Session& session) : session_(session) { session_.print("\x1b[?1049h\x1b[?25l\x1b[?7l"); }
  ~FullScreen() { session_.print("\x1b[?7h\x1b[?25h\x1b[?1049l"); }
  FullScreen(const FullScreen&) = delete;

  /// Draws the lines over the old ones; what does not fit is left out.
  void draw(std::string_view text, Keys::Size size) {
    std::string out = "\x1b[H";
    for (uint32_t line = 0; !text.empty() && (size.height == 0 || line < size.height); ++line) {
      const size_t end = std::min(text.find('\n'), text.size());
      if (line > 0) out += "\r\n";
      out += fmt::format("{}\x1b[K", text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    session_.print(out + "\x1b[J");
  }

 private:
  Session& session_;
};

/// What the screen shows now.
struct Board {
  Order order = Order::cpu;
  json::Array rows;
  std::string trouble;
  Trends trends;

  std::string draw(const Session& session, Keys::Size size) const {
    const Style& style = session.out_style();
    const std::string keys =
        fmt::format("sorted by {}   keys: c CPU, m memory, r requests, n name, q leave", to_string(order));
    const size_t width = size.width == 0 ? SIZE_MAX : size.width;
    std::string out = style.paint(Tint::bold, shorten(summary(rows), width)) + "\n";
    out += style.paint(trouble.empty() ? Tint::dim : Tint::warn, shorten(trouble.empty() ? keys : trouble, width)) +
           "\n\n";
    return out + render_table(top_listing(&trends), sorted(rows, order), Format::table, {style, size.width});
  }
};

// Asks the server; one that restarts is worth waiting for, once there was an answer.
Result<> look(Session& session, const std::vector<std::string>& names, Board& board) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto stats = get_stats(*api, names);
  if (!stats && stats.error().code() == Code::unavailable && !board.rows.empty()) {
    board.trouble = stats.error().reason() + "; trying again";
    return {};
  }
  if (!stats) return std::unexpected(std::move(stats).error());
  board.trouble.clear();
  board.rows = array_at(*stats, "agents");
  board.trends.look_at(board.rows, agent_of);
  return {};
}

Result<int> stay(Session& session, Keys& keys, Board& board, const std::vector<std::string>& names) {
  const Duration interval = session.given().duration_or_fallback("--interval");
  FullScreen screen(session);
  SteadyTime next_look = session.steady() + interval;
  for (;;) {
    const Keys::Size size = keys.size();
    screen.draw(board.draw(session, size), size);
    const KeyPress press = keys.wait(next_look - session.steady());
    if (press.kind == KeyPress::Kind::interrupted) return fail(Code::cancelled, "interrupted");
    if (press.kind == KeyPress::Kind::key && (press.key == 'q' || press.key == 27)) return 0;
    if (press.kind == KeyPress::Kind::key) {
      if (auto order = order_of_key(press.key)) board.order = *order;
      continue;
    }
    if (session.steady() < next_look) continue;
    GANTRY_TRY_VOID(look(session, names, board));
    next_look = session.steady() + interval;
  }
}

}  // namespace

Result<int> run_top(Session& session) {
  const std::vector<std::string> names = session.given().arguments("NAME");
  Board board;
  board.order = order_from_string(session.given().choice("--sort"));
  GANTRY_TRY_VOID(look(session, names, board));
  const Environment& environment = session.environment();
  const bool is_live = session.for_people() && environment.out_device == Device::terminal &&
                       environment.in_device == Device::terminal && environment.open_keys;
  if (!is_live) {
    session.print_listing(top_listing(nullptr), sorted(board.rows, board.order));
    return 0;
  }
  GANTRY_TRY(std::unique_ptr<Keys> keys, environment.open_keys());
  return stay(session, *keys, board, names);
}

}  // namespace gantry::cli
