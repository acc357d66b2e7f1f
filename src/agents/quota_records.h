// Quotas in the store: used in the transactions that change agents. Private to agents/.
#pragma once

#include "agents/quotas.h"
#include "core/core.h"
#include "store/store.h"

namespace gantry::agents {

/// What an agent asks for.
Amounts need_of(const core::AgentSpec& spec, uint32_t replicas);

/// A change of one agent: what it asked for before (nothing if it is new) and asks for now.
struct QuotaStep {
  Amounts before{};
  Amounts after{};
};

/// What all agents of the scope ask for.
Result<Amounts> usage_of(store::Session& session);
/// Every resource, in the order of `all_resources`.
Result<std::vector<QuotaView>> quotas_of(store::Session& session, const Limits& configured);
Result<> change_quotas(store::Session& session, const std::vector<QuotaChange>& changes, Time now);
/// GR0512 with what is used, what is asked and what the limit is, if a resource of which more is asked for would go
/// above its limit. Before the change is written.
Result<> check_quotas(store::Session& session, const Limits& configured, const QuotaStep& step);

}  // namespace gantry::agents
