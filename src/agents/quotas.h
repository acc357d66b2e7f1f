// How much the agents of a scope may ask for together. Part of the door (agents.h).
//
// What counts is what was declared: the replicas of every agent times its `resources`, whether it runs, is stopped or
// is being removed; so an agent that was admitted can always start. A limit comes from the configuration of the server
// or was set for the scope by a call, which wins. It is checked in the transaction that stores a deploy or a scale: two
// of them at once cannot pass together what only one may. What is there already stays when a limit is lowered; only
// changes that ask for more of that resource are refused.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "json/json.h"

namespace gantry::agents {

/// What has a quota.
enum class Resource { agents, instances, memory, cpu, storage };
inline constexpr std::array all_resources = {Resource::agents, Resource::instances, Resource::memory, Resource::cpu,
                                             Resource::storage};
std::string_view to_string(Resource resource);
/// nullopt if there is no such resource.
std::optional<Resource> resource_from_string(std::string_view text);

/// An amount of each resource: counts, bytes, or thousandths of a CPU.
using Amounts = std::array<uint64_t, all_resources.size()>;
/// A limit of each; nullopt for none.
using Limits = std::array<std::optional<uint64_t>, all_resources.size()>;

/// `3`, `8Gi`, `2500m`.
std::string format_amount(Resource resource, uint64_t amount);
/// The limit that a text means; nullopt for `none`. GR0513 names what is possible.
Result<std::optional<uint64_t>> parse_limit(Resource resource, std::string_view text);

/// Where a limit comes from.
enum class LimitOrigin { none, config, call };
std::string_view to_string(LimitOrigin origin);

/// One resource of a scope.
struct QuotaView {
  Resource resource = Resource::agents;
  uint64_t used = 0;
  std::optional<uint64_t> limit;
  LimitOrigin origin = LimitOrigin::none;
  std::optional<Time> set_at;  ///< by a call
};
json::Value to_json(const QuotaView& view);

/// What a call changes.
struct QuotaChange {
  Resource resource = Resource::agents;
  enum class To {
    limit,   ///< `limit`, also none at all
    config,  ///< what the configuration says
  } to = To::limit;
  std::optional<uint64_t> limit;
};

}  // namespace gantry::agents
