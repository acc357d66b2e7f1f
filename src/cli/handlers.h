// The functions behind the rows of the command table, one file for each family.
#pragma once

#include "base/base.h"

namespace gantry::cli {

class Session;

// commands/demo*.cc
Result<int> run_demo(Session& session);
// commands/server.cc
Result<int> run_up(Session& session);
Result<int> run_down(Session& session);
Result<int> run_status(Session& session);
Result<int> run_version(Session& session);
// commands/encryption.cc
Result<int> run_encryption_status(Session& session);
Result<int> run_encryption_rotate(Session& session);
// commands/doctor.cc
Result<int> run_doctor(Session& session);
// commands/deploy.cc
Result<int> run_deploy(Session& session);
// commands/stacks.cc
Result<int> run_validate(Session& session);
Result<int> run_diff(Session& session);
Result<int> run_export(Session& session);
Result<int> run_import(Session& session);
// commands/agents.cc
Result<int> run_list(Session& session);
Result<int> run_inspect(Session& session);
Result<int> run_health(Session& session);
// commands/stats.cc
Result<int> run_stats(Session& session);
// commands/top.cc
Result<int> run_top(Session& session);
// commands/events.cc
Result<int> run_events(Session& session);
// commands/quota.cc
Result<int> run_quota(Session& session);
Result<int> run_quota_set(Session& session);
// commands/verbs.cc
Result<int> run_start(Session& session);
Result<int> run_stop(Session& session);
Result<int> run_restart(Session& session);
Result<int> run_pause(Session& session);
Result<int> run_resume(Session& session);
Result<int> run_remove(Session& session);
Result<int> run_scale(Session& session);
// commands/exec.cc
Result<int> run_exec(Session& session);
// commands/logs.cc
Result<int> run_logs(Session& session);
// commands/invoke.cc
Result<int> run_invoke(Session& session);
// commands/requests.cc
Result<int> run_requests_list(Session& session);
Result<int> run_requests_show(Session& session);
Result<int> run_requests_replay(Session& session);
Result<int> run_requests_cancel(Session& session);
// commands/dead_letters.cc
Result<int> run_requests_requeue(Session& session);
Result<int> run_requests_purge(Session& session);
// commands/requests_edit.cc
Result<int> run_requests_edit(Session& session);
// commands/requests_export.cc
Result<int> run_requests_export(Session& session);
// commands/requests_watch.cc
Result<int> run_requests_watch(Session& session);
// commands/audit.cc
Result<int> run_audit_list(Session& session);
// commands/webhooks.cc
Result<int> run_webhooks_list(Session& session);
Result<int> run_webhooks_add(Session& session);
Result<int> run_webhooks_show(Session& session);
Result<int> run_webhooks_edit(Session& session);
Result<int> run_webhooks_remove(Session& session);
Result<int> run_webhooks_rotate(Session& session);
Result<int> run_webhooks_test(Session& session);
Result<int> run_webhooks_deliveries(Session& session);
Result<int> run_webhooks_replay(Session& session);
// commands/config.cc
Result<int> run_config_view(Session& session);
Result<int> run_config_get(Session& session);
Result<int> run_config_set(Session& session);
Result<int> run_config_reset(Session& session);
// commands/other.cc
Result<int> run_completion(Session& session);
Result<int> run_help(Session& session);
Result<int> run_reference(Session& session);

}  // namespace gantry::cli
