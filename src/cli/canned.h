// Answers of the API for tests, as the contract spells them.
#pragma once

#include <string>

namespace gantry::cli::canned {

inline const std::string agent = R"({
  "id":"agt_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","name":"bot","scope":"default/default/dev","labels":{"team":"cx"},
  "kind":"command","status":"degraded","reason":"exit 137, out of memory at 512Mi","replicas":2,"ready":1,"up_to_date":1,"stuck":false,
  "revision":"rev_01JD4Y9Q2V6X8Z0A1B2C3D4E5G","revision_number":3,"port":8000,"public":false,
  "created_at":"2026-11-20T17:12:00.000Z","updated_at":"2026-11-20T18:12:00.000Z","restarts":4,"pending":7,
  "processing":1,"spec":{"command":["python3","app.py"],"env":{"LOG_LEVEL":"info"},"port":8000},
  "instances":[
    {"id":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"revision":3,"status":"ready","reason":null,"pid":4711,
     "started_at":"2026-11-20T18:12:00.000Z","ready_at":"2026-11-20T18:12:00.200Z","restarts":0,"in_flight":1,
     "isolation":{"driver":"bubblewrap","rootless":true,"user":"uid 200001",
       "namespaces":["user","pid","mount","ipc","uts","cgroup","net"],"seccomp":"enforced"},
     "limits":[{"name":"memory","limit":"512Mi","grade":"enforced","how":"cgroup v1 memory controller"},
       {"name":"cpu","limit":"500m","grade":"none","how":"no cpu controller"}]},
    {"id":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5H","replica":1,"revision":3,"status":"backoff","reason":"exit 137, out of memory at 512Mi",
     "pid":null,"started_at":null,"ready_at":null,"restarts":4,"in_flight":0,
     "isolation":{"driver":"","rootless":false,"user":"","namespaces":[],"seccomp":""},"limits":[]}]})";

inline const std::string ready_agent = R"({
  "id":"agt_01JD4Y9Q2V6X8Z0A1B2C3D4E5J","name":"notes","scope":"default/default/dev","labels":{},"kind":"command",
  "status":"running","reason":null,"replicas":1,"ready":1,"up_to_date":1,"stuck":false,"revision":"rev_01JD4Y9Q2V6X8Z0A1B2C3D4E5K",
  "revision_number":1,"port":8000,"public":true,"created_at":"2026-11-20T18:14:00.000Z",
  "updated_at":"2026-11-20T18:14:00.000Z","restarts":0,"pending":0,"processing":0,"instances":[]})";

inline const std::string agents = R"({"data":[)" + agent + "," + ready_agent + R"(],"next":null})";

inline const std::string status = R"({
  "url":"http://127.0.0.1:8081","pid":4242,"version":"0.1.0","started_at":"2026-11-20T18:12:00.123Z","uptime_ms":180250,
  "data_dir":"/home/ada/.gantry","scope":"default/default/dev",
  "agents":{"total":2,"running":1,"degraded":1,"stopped":0},"instances":{"total":3,"ready":2},
  "requests":{"pending":4,"processing":1,"completed":120,"failed":2},
  "journal":{"durable_seq":4711,"projected_seq":4700,"writable":true},"rss_bytes":41943040})";

inline const std::string health = R"({"agent":"bot","status":"degraded","instances":[
  {"id":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"healthy":true,"kind":"http","detail":"200 from /ready",
   "checked_at":"2026-11-20T18:14:30.004Z","consecutive_failures":0,"probes":[
     {"probe":"startup","healthy":true,"kind":"exec","detail":"exit 0","checked_at":"2026-11-20T18:12:00.004Z",
      "consecutive_failures":0},
     {"probe":"readiness","healthy":true,"kind":"http","detail":"200 from /ready",
      "checked_at":"2026-11-20T18:14:30.004Z","consecutive_failures":0}]},
  {"id":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5H","replica":1,"healthy":false,"kind":"http",
   "detail":"connection refused on port 8000","checked_at":"2026-11-20T18:14:31.000Z","consecutive_failures":3,"probes":[
     {"probe":"liveness","healthy":false,"kind":"http","detail":"connection refused on port 8000",
      "checked_at":"2026-11-20T18:14:31.000Z","consecutive_failures":3}]}]})";

inline const std::string stats = R"({"data":[
  {"agent":"bot","instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"cpu_percent":12.54,"cpu_ms":4200,
   "memory_bytes":522190848,"memory_limit_bytes":536870912,"pids":4,"pids_limit":128,"workspace_bytes":1048576,
   "workspace_limit_bytes":1073741824,"bytes_in":2048,"bytes_out":5242880,"in_flight":2,"requests_total":120,
   "recent":{"window_ms":60000,"requests":90,"per_second":1.5,"p50_ms":0.412,"p95_ms":48.2,"p99_ms":1532.0},
   "restarts":1,"breaker":"half_open"},
  {"agent":"notes","instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5M","replica":0,"cpu_percent":0,"cpu_ms":310,
   "memory_bytes":41943040,"memory_limit_bytes":0,"pids":11,"pids_limit":0,"workspace_bytes":0,
   "workspace_limit_bytes":0,"bytes_in":0,"bytes_out":0,"in_flight":0,"requests_total":3,
   "recent":{"window_ms":60000,"requests":0,"per_second":0.0,"p50_ms":null,"p95_ms":null,"p99_ms":null},
   "restarts":0,"breaker":"closed"}],
 "agents":[
  {"agent":"bot","status":"degraded","replicas":2,"ready":1,"cpu_percent":12.54,"memory_bytes":522190848,
   "memory_limit_bytes":536870912,"pids":4,"workspace_bytes":1048576,"bytes_in":2048,"bytes_out":5242880,
   "in_flight":2,"requests_total":120,
   "recent":{"window_ms":60000,"requests":90,"per_second":1.5,"p50_ms":0.412,"p95_ms":48.2,"p99_ms":1532.0},
   "restarts":4},
  {"agent":"hungry","status":"running","replicas":1,"ready":1,"cpu_percent":3,"memory_bytes":943718400,
   "memory_limit_bytes":0,"pids":3,"workspace_bytes":0,"bytes_in":10,"bytes_out":10,"in_flight":0,
   "requests_total":900,
   "recent":{"window_ms":60000,"requests":600,"per_second":10.0,"p50_ms":2.0,"p95_ms":3.0,"p99_ms":4.0},
   "restarts":0}],
 "next":null})";

inline const std::string events = R"({"data":[
  {"seq":12,"at":"2026-11-20T18:14:03.000Z","type":"instance.restart","agent":"bot",
   "instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"revision":3,"reason":"after exit 1"},
  {"seq":11,"at":"2026-11-20T18:14:02.000Z","type":"instance.exit","agent":"bot",
   "instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"revision":null,"reason":"exit 1"},
  {"seq":10,"at":"2026-11-20T18:14:01.000Z","type":"agent.deploy","agent":"bot","instance":null,"replica":null,
   "revision":3,"reason":"updated"}],"next":null})";

inline const std::string quotas = R"({"data":[
  {"resource":"agents","used":2,"limit":null,"left":null,"origin":"none","set_at":null},
  {"resource":"instances","used":3,"limit":20,"left":17,"origin":"config","set_at":null},
  {"resource":"memory","used":8589934592,"limit":8589934592,"left":0,"origin":"call","set_at":"2026-11-20T18:12:00.123Z"},
  {"resource":"cpu","used":"1500m","limit":"4","left":"2500m","origin":"call","set_at":"2026-11-20T18:12:00.123Z"},
  {"resource":"storage","used":3221225472,"limit":null,"left":null,"origin":"call","set_at":"2026-11-20T18:12:00.123Z"}],
  "next":null})";

inline const std::string logs =
    R"({"time":"2026-11-20T18:14:01.500Z","agent":"bot","instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","replica":0,"stream":"stdout","line":"counting on port 8000"})"
    "\n"
    R"({"time":"2026-11-20T18:14:02.000Z","agent":"notes","instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5H","replica":1,"stream":"stderr","line":"\u001b[2Joops"})"
    "\n";

inline const std::string request_row = R"({
  "id":"req_01JD4YA3T5W7Y9B1C2D3E4F5G6","agent":"bot","scope":"default/default/dev","method":"POST",
  "target":"/ask?lang=en","status":"completed","dead_letter":false,"attempts":2,
  "created_at":"2026-11-20T18:12:05.000Z","completed_at":"2026-11-20T18:12:07.250Z","duration_ms":2250,
  "response_status":200,"reason":null,"next_attempt_at":null,"replay_of":null})";

inline const std::string failed_row = R"({
  "id":"req_01JD4YB0M2P4R6T8V0X1Y2Z3A4","agent":"bot","scope":"default/default/dev","method":"POST","target":"/boom",
  "status":"failed","dead_letter":true,"attempts":5,"created_at":"2026-11-20T18:10:00.000Z",
  "completed_at":"2026-11-20T18:11:00.000Z","duration_ms":60000,"response_status":null,
  "reason":"5 attempts: exit 1","next_attempt_at":null,"replay_of":null})";

inline const std::string requests = R"({"data":[)" + request_row + "," + failed_row + R"(],"next":null})";

/// The row with headers, bodies and attempts.
inline const std::string request = request_row.substr(0, request_row.rfind('}')) + R"json(,
  "request":{"headers":[["content-type","application/json"],["x-twice","1"],["x-twice","2"]],
    "body":{"bytes":20,"sha256":"00","text":"{\"question\": \"why?\"}","truncated":false}},
  "response":{"status":200,"headers":[["content-type","text/plain"]],
    "body":{"bytes":3,"sha256":"00","base64":"/wD+","truncated":false}},
  "attempt_log":[
    {"attempt":1,"instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","started_at":"2026-11-20T18:12:05.001Z",
     "ended_at":"2026-11-20T18:12:05.901Z","outcome":"died","detail":"signal 9 (SIGKILL)"},
    {"attempt":2,"instance":"ins_01JD4Y9Q2V6X8Z0A1B2C3D4E5H","started_at":"2026-11-20T18:12:07.000Z",
     "ended_at":"2026-11-20T18:12:07.250Z","outcome":"completed","detail":null}]})json";

inline const std::string cancelled =
    R"({"id":"req_01JD4YB0M2P4R6T8V0X1Y2Z3A4","agent":"bot","status":"cancelled","reason":"cancelled by root"})";
inline const std::string replayed =
    R"({"request_id":"req_01JD4YC0M2P4R6T8V0X1Y2Z3A4","status":"pending","replay_of":"req_01JD4YB0M2P4R6T8V0X1Y2Z3A4"})";

inline const std::string webhook = R"({
  "id":"whk_01JD4Y9Q2V6X8Z0A1B2C3D4E5F","name":"ops","scope":"default/default/dev",
  "url":"https://hooks.example.com/gantry","events":["request.completed","request.failed"],"agent":null,"enabled":true,
  "disabled_reason":null,"old_secret_until":null,"pending":0,"processing":0,
  "created_at":"2026-11-20T18:00:00.000Z","updated_at":"2026-11-20T18:00:00.000Z"})";

inline const std::string disabled_webhook = R"({
  "id":"whk_01JD4Y9Q2V6X8Z0A1B2C3D4E5G","name":"pager","scope":"default/default/dev",
  "url":"https://hooks.example.com/page","events":["request.failed"],"agent":"bot","enabled":false,
  "disabled_reason":"the receiver answered 410 Gone","old_secret_until":"2026-11-21T18:00:00.000Z","pending":3,
  "processing":0,"created_at":"2026-11-20T18:00:00.000Z","updated_at":"2026-11-20T18:10:00.000Z"})";

inline const std::string made_webhook =
    webhook.substr(0, webhook.rfind('}')) + R"(,"secret":"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="})";

inline const std::string deliveries = R"({"data":[
  {"id":"req_01JD4YC0M2P4R6T8V0X1Y2Z3A4","webhook":"ops","event":"request.failed",
   "request_id":"req_01JD4YB0M2P4R6T8V0X1Y2Z3A4","message_id":"req_01JD4YC0M2P4R6T8V0X1Y2Z3A4","status":"pending",
   "dead_letter":false,"attempts":2,"created_at":"2026-11-20T18:11:00.000Z","completed_at":null,
   "response_status":null,"reason":"the receiver answered 500 Internal Server Error",
   "next_attempt_at":"2026-11-20T18:15:09.000Z","replay_of":null},
  {"id":"req_01JD4YA9M2P4R6T8V0X1Y2Z3A4","webhook":"ops","event":"request.completed",
   "request_id":"req_01JD4YA3T5W7Y9B1C2D3E4F5G6","message_id":"req_01JD4YA9M2P4R6T8V0X1Y2Z3A4","status":"completed",
   "dead_letter":false,"attempts":1,"created_at":"2026-11-20T18:12:07.000Z","completed_at":"2026-11-20T18:12:07.300Z",
   "response_status":204,"reason":null,"next_attempt_at":null,"replay_of":null}],"next":null})";

inline const std::string delivery_started =
    R"({"delivery_id":"req_01JD4YC0M2P4R6T8V0X1Y2Z3A4","status":"pending","webhook":"ops"})";

inline const std::string doctor = R"({"checks":[
  {"name":"disk","status":"ok","detail":"120.5 GiB free","hint":null},
  {"name":"limit cpu","status":"warn","detail":"none by nothing","hint":"mount cgroup2"}]})";

inline const std::string storage = R"({"data":[
  {"what":"journal segments","path":"/data/journal","bytes":67108864,"detail":"1 segment"},
  {"what":"blobs","path":"/data/blobs","bytes":0,"detail":null}],"total_bytes":67108864,"free_bytes":129386000000})";

}  // namespace gantry::cli::canned
