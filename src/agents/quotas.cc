#include "agents/quotas.h"

#include <charconv>
#include <limits>

#include "agents/quota_records.h"

namespace gantry::agents {
namespace {

constexpr std::array<std::string_view, all_resources.size()> names = {"agents", "instances", "memory", "cpu",
                                                                      "storage"};

size_t index_of(Resource resource) { return static_cast<size_t>(resource); }

std::optional<uint64_t> parse_count(std::string_view text) {
  uint64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  // More than any sum can be, and far from an overflow.
  if (error != std::errc() || end != text.data() + text.size() || count > 1'000'000'000) return std::nullopt;
  return count;
}

Error bad_limit(Resource resource, std::string_view text) {
  std::string_view form = "a whole number";
  if (resource == Resource::memory || resource == Resource::storage) form = "a size such as 8Gi";
  if (resource == Resource::cpu) form = "a number of CPUs such as 4 or 500m";
  return Error(ErrorId::GR0513,
               fmt::format("{}: '{}' is neither {} nor 'none'", to_string(resource), text.substr(0, 64), form))
      .with_hint("gantry quota shows the limits of now");
}

json::Value amount_json(Resource resource, const std::optional<uint64_t>& amount) {
  if (!amount) return nullptr;
  // CPUs as in a spec would lose their unit in a number.
  return resource == Resource::cpu ? json::Value(format_amount(resource, *amount)) : json::Value(*amount);
}

}  // namespace

std::string_view to_string(Resource resource) { return names[index_of(resource)]; }

std::optional<Resource> resource_from_string(std::string_view text) {
  for (Resource resource : all_resources)
    if (to_string(resource) == text) return resource;
  return std::nullopt;
}

std::string_view to_string(LimitOrigin origin) {
  switch (origin) {
    case LimitOrigin::none:
      return "none";
    case LimitOrigin::config:
      return "config";
    case LimitOrigin::call:
      return "call";
  }
  return "none";
}

std::string format_amount(Resource resource, uint64_t amount) {
  switch (resource) {
    case Resource::agents:
    case Resource::instances:
      return std::to_string(amount);
    case Resource::memory:
    case Resource::storage:
      return format_bytes({amount});
    case Resource::cpu:
      return amount % 1000 == 0 ? std::to_string(amount / 1000) : fmt::format("{}m", amount);
  }
  return std::to_string(amount);
}

Result<std::optional<uint64_t>> parse_limit(Resource resource, std::string_view text) {
  if (text == "none") return std::optional<uint64_t>();
  if (resource == Resource::memory || resource == Resource::storage) {
    auto bytes = parse_bytes(text);
    constexpr uint64_t most = std::numeric_limits<int64_t>::max();
    if (bytes && bytes->count <= most) return std::optional<uint64_t>(bytes->count);
    return std::unexpected(bad_limit(resource, text));
  }
  if (resource == Resource::cpu) {
    const bool is_milli = text.ends_with('m');
    if (auto count = parse_count(is_milli ? text.substr(0, text.size() - 1) : text))
      return std::optional<uint64_t>(is_milli ? *count : *count * 1000);
    auto share = parse_cpu(text);
    if (share) return std::optional<uint64_t>(share->count);
    return std::unexpected(bad_limit(resource, text));
  }
  if (auto count = parse_count(text)) return std::optional<uint64_t>(*count);
  return std::unexpected(bad_limit(resource, text));
}

json::Value to_json(const QuotaView& view) {
  std::optional<uint64_t> left;
  if (view.limit) left = *view.limit > view.used ? *view.limit - view.used : 0;
  return json::Object{{"resource", to_string(view.resource)},
                      {"used", amount_json(view.resource, view.used)},
                      {"limit", amount_json(view.resource, view.limit)},
                      {"left", amount_json(view.resource, left)},
                      {"origin", to_string(view.origin)},
                      {"set_at", view.set_at ? json::Value(format_time(*view.set_at)) : json::Value(nullptr)}};
}

Amounts need_of(const core::AgentSpec& spec, uint32_t replicas) {
  return {1, replicas, replicas * spec.resources.memory.count, uint64_t{replicas} * spec.resources.cpu.count,
          replicas * spec.resources.workspace.count};
}

Result<Amounts> usage_of(store::Session& session) {
  GANTRY_TRY(auto sums,
             session.find<Amounts>("SELECT count(*), total(replicas), total(replicas * memory), total(replicas * cpu), "
                                   "total(replicas * storage) FROM agents WHERE scope = :scope",
                                   {}, [](const store::Row& row) {
                                     Amounts amounts{static_cast<uint64_t>(row.integer(0))};
                                     for (size_t i = 1; i < amounts.size(); ++i)
                                       amounts[i] = static_cast<uint64_t>(row.real(static_cast<int>(i)));
                                     return amounts;
                                   }));
  return sums.value_or(Amounts{});
}

Result<std::vector<QuotaView>> quotas_of(store::Session& session, const Limits& configured) {
  GANTRY_TRY(const Amounts used, usage_of(session));
  std::vector<QuotaView> views;
  for (Resource resource : all_resources) {
    const std::optional<uint64_t>& limit = configured[index_of(resource)];
    views.push_back({.resource = resource,
                     .used = used[index_of(resource)],
                     .limit = limit,
                     .origin = limit ? LimitOrigin::config : LimitOrigin::none});
  }
  GANTRY_TRY_VOID(session.each("SELECT resource, amount, set_at FROM agent_quotas WHERE scope = :scope", {},
                               [&](const store::Row& row) {
                                 const auto resource = resource_from_string(row.text(0));
                                 if (!resource) return;
                                 QuotaView& view = views[index_of(*resource)];
                                 view.limit.reset();
                                 if (!row.is_null(1)) view.limit = static_cast<uint64_t>(row.integer(1));
                                 view.origin = LimitOrigin::call;
                                 view.set_at = row.time(2);
                               }));
  return views;
}

Result<> change_quotas(store::Session& session, const std::vector<QuotaChange>& changes, Time now) {
  for (const QuotaChange& change : changes) {
    if (change.to == QuotaChange::To::config) {
      GANTRY_TRY_VOID(session.execute("DELETE FROM agent_quotas WHERE scope = :scope AND resource = ?",
                                      {to_string(change.resource)}));
      continue;
    }
    GANTRY_TRY_VOID(session.execute(
        "INSERT INTO agent_quotas (scope, resource, amount, set_at) VALUES (:scope, ?, ?, ?) ON CONFLICT (scope, "
        "resource) DO UPDATE SET amount = excluded.amount, set_at = excluded.set_at",
        {to_string(change.resource), change.limit, now}));
  }
  return {};
}

Result<> check_quotas(store::Session& session, const Limits& configured, const QuotaStep& step) {
  GANTRY_TRY(const std::vector<QuotaView> quotas, quotas_of(session, configured));
  std::vector<std::string> refusals;
  std::string raise;
  for (const QuotaView& quota : quotas) {
    const size_t at = index_of(quota.resource);
    if (!quota.limit || step.after[at] <= step.before[at]) continue;
    const uint64_t more = step.after[at] - step.before[at];
    if (quota.used + more <= *quota.limit) continue;
    refusals.push_back(fmt::format("{}: {} of {} are used and it asks for {} more", to_string(quota.resource),
                                   format_amount(quota.resource, quota.used),
                                   format_amount(quota.resource, *quota.limit), format_amount(quota.resource, more)));
    raise += fmt::format(" {}={}", to_string(quota.resource), format_amount(quota.resource, quota.used + more));
  }
  if (refusals.empty()) return {};
  return std::unexpected(
      Error(ErrorId::GR0512,
            fmt::format("the quota of {} does not allow it: {}", session.scope().path(), fmt::join(refusals, "; ")))
          .with_hint(
              fmt::format("gantry quota shows what is used; ask for less, remove agents, or raise it: gantry quota "
                          "set{}",
                          raise)));
}

}  // namespace gantry::agents
