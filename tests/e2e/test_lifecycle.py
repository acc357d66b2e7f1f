"""Verbs, rollouts, crashes and re-attachment: what runs is what was asked for, and no request pays for it."""
import itertools
import json
import os
import pathlib
import re
import threading

from gantry_server import alive, descendants, kill_process, wait_for


class Stream:
    """One caller that sends without pause and keeps every answer that is not 200."""

    def __init__(self, server, agent):
        self.server, self.agent, self.bad, self.count = server, agent, [], 0
        self.ending, self.thread = threading.Event(), threading.Thread(target=self.run)

    def run(self):
        for number in itertools.count():
            if self.ending.is_set():
                return
            reply = self.server.call(self.agent, f"/do/s{id(self)}-{number}?ms=5", "POST", "x", {"Prefer": "wait=60"})
            self.count += 1
            if reply.status != 200:
                self.bad.append(reply)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(90)
        assert not self.thread.is_alive()

    def wait_more(self, more):
        target = self.count + more
        wait_for(lambda: self.count >= target, 60, f"{more} more answers")


def self_of(server, agent):
    """What the program says of itself; a call that is not journaled may meet an instance that dies, and is made again."""
    reply = wait_for(lambda: (got := server.call(agent, "/self", headers={"Prefer": "wait=30"})).status == 200 and got, 30, f"{agent} answers")
    return reply.json()


def test_the_program_survives_sigkill_of_the_server(server):
    server.deploy("bot")
    for key in "abc":
        assert server.call("bot", f"/do/{key}", "POST").status == 200
    before, pids = self_of(server, "bot"), descendants(server.sandbox_pid("bot"))
    instance = server.agent("bot")["instances"][0]["id"]
    server.kill9()
    assert all(alive(pid) for pid in pids)
    server.start()
    server.wait_ready("bot")
    assert self_of(server, "bot") == before, "its memory was lost: it is another process"
    assert before["served"] == 3
    after = server.agent("bot")["instances"][0]
    assert (after["id"], after["restarts"]) == (instance, 0)
    assert descendants(server.sandbox_pid("bot")) == pids
    # It is supervised as before.
    server.kill_agent("bot")
    wait_for(lambda: self_of(server, "bot")["born"] != before["born"], 30, "it was started again")


def test_a_clean_stop_leaves_nothing_behind_and_agents_return_with_the_server(server):
    server.deploy("bot")
    pids = descendants(server.sandbox_pid("bot"))
    server.call("bot", "/do/a", "POST")
    assert server.stop() == 0
    wait_for(lambda: not any(alive(pid) for pid in pids), 20, "the sandbox is gone")
    server.start()
    server.wait_ready("bot")
    assert [row[1] for row in server.agent_log("bot")] == ["a", "a"], "the workspace stays"


def test_killing_the_process_that_inspect_shows_is_told_as_that(server):
    server.deploy("bot")
    kill_process(server.sandbox_pid("bot"))
    wait_for(lambda: "killed from outside (SIGKILL)" in json.dumps(server.agent("bot")), 30, "the reason")
    server.wait_ready("bot")


def test_a_stopped_agent_stays_stopped_over_a_restart(server):
    server.deploy("bot")
    pid = server.sandbox_pid("bot")
    assert server.verb("bot", "stop")["status"] == "stopped"
    wait_for(lambda: not alive(pid), 20)
    server.restart()
    agent = server.agent("bot")
    assert (agent["status"], agent["ready"]) == ("stopped", 0)
    assert server.verb("bot", "start")["status"] == "running"


def test_a_paused_agent_keeps_its_memory_and_its_requests_wait(server, pool):
    server.deploy("bot")
    server.call("bot", "/do/a", "POST")
    before = self_of(server, "bot")
    assert server.verb("bot", "pause")["status"] == "paused"
    program = descendants(server.agent("bot")["instances"][0]["pid"])[-1]
    ticks = pathlib.Path(f"/proc/{program}/stat").read_text().split()[13:15]
    reply = server.call("bot", "/do/b", "POST")
    assert reply.status == 202
    assert pathlib.Path(f"/proc/{program}/stat").read_text().split()[13:15] == ticks, "it used CPU while frozen"
    assert server.verb("bot", "resume")["status"] == "running"
    server.wait_finished(reply.json()["request_id"])
    after = self_of(server, "bot")
    assert (after["pid"], after["born"], after["served"]) == (before["pid"], before["born"], 2)


def test_restart_gives_a_new_process_and_keeps_the_workspace(server):
    server.deploy("bot")
    server.call("bot", "/do/a", "POST")
    before = self_of(server, "bot")
    server.verb("bot", "restart")
    server.wait_ready("bot")
    after = self_of(server, "bot")
    assert after["born"] > before["born"] and after["served"] == 0
    assert [row[1] for row in server.agent_log("bot")] == ["a", "a"]


def test_scale_spreads_the_load_and_shrinks_again(server, pool):
    server.deploy("bot", concurrency=4)
    assert server.api("POST", "/v1/agents/bot/scale?wait=60s", {"replicas": 3}, timeout=90)["replicas"] == 3
    server.wait_ready("bot", 3)
    busy = [pool.submit(server.call, "bot", f"/do/h{n}?ms=6000", "POST") for n in range(12)]
    wait_for(lambda: sorted(i["in_flight"] for i in server.agent("bot")["instances"]) == [4, 4, 4], 30, "each has its share")
    # Who is at work may finish: two instances go, and no request is broken off.
    server.api("POST", "/v1/agents/bot/scale?wait=60s", {"replicas": 1}, timeout=90)
    assert {future.result(60).json()["attempt"] for future in busy} == {"1"}
    wait_for(lambda: len(server.agent("bot")["instances"]) == 1, 30)
    server.api("POST", "/v1/agents/bot/scale?wait=60s", {"replicas": 0}, timeout=90)
    assert server.call("bot", "/do/later", "POST").status == 202
    server.api("POST", "/v1/agents/bot/scale?wait=60s", {"replicas": 1}, timeout=90)
    wait_for(lambda: [row for row in server.requests(status="completed") if row["target"] == "/do/later"], 30)
    server.api("DELETE", "/v1/agents/bot", timeout=60)
    reply = server.request("POST", "/v1/agents/bot/scale", b'{"replicas": 2}')
    assert reply.status == 404


def test_a_rollout_under_load_loses_nothing(server):
    server.deploy("bot", env={"VERSION": "1"}, replicas=2)
    with Stream(server, "bot") as one, Stream(server, "bot") as two:
        one.wait_more(5)
        for version in ("2", "3"):
            updated = server.deploy("bot", env={"VERSION": version}, replicas=2)
            assert (updated["result"], updated["agent"]["revision_number"]) == ("updated", int(version))
            wait_for(lambda: server.call("bot", "/environment").json()["VERSION"] == version, 30, "the new revision serves")
            two.wait_more(5)
    assert not one.bad + two.bad
    sent = one.count + two.count
    done = server.requests(agent="bot", status="completed")
    assert len(done) == sent == len(server.requests(agent="bot"))
    assert {row["attempts"] for row in done} == {1}, "a request was broken off by the rollout"
    assert server.deploy("bot", env={"VERSION": "3"}, replicas=2)["result"] == "unchanged"


def test_a_broken_revision_does_not_replace_the_one_that_works(server):
    server.deploy("bot", env={"VERSION": "1"})
    before = self_of(server, "bot")
    server.deploy("bot", wait=False, env={"VERSION": "2", "REFUSE_TO_START": "9"})
    wait_for(lambda: "exit 9" in server.agent("bot")["reason"], 30, "the agent says why")
    assert server.call("bot", "/do/a", "POST").status == 200
    assert self_of(server, "bot")["born"] == before["born"]


def test_a_crash_loop_is_told_with_its_reason(server):
    server.deploy("bot", wait=False, env={"REFUSE_TO_START": "3"})
    agent = wait_for(lambda: (agent := server.agent("bot"))["status"] == "crash_loop" and agent, 60, "it is called a crash loop")
    assert "exit 3" in agent["reason"]
    assert agent["instances"][0]["restarts"] >= 2
    lines = [line["line"] for line in log_lines(server, "bot", "stream=stderr")]
    assert "no, I will not" in lines
    # Mended, it runs, and does not wait for its backoff.
    server.deploy("bot")
    assert server.agent("bot")["status"] == "running"


def test_memory_beyond_the_limit_is_told_in_words(server):
    server.deploy("bot", resources={"memory": "64Mi", "pids": 64}, persistence={"retry": {"max": 1}})
    reply = server.call("bot", "/allocate/a", "POST", timeout=90)
    assert reply.status in (502, 503, 504), reply
    text = wait_for(lambda: (found := re.search(r"exit 137, out of memory at \S+", str(server.agent("bot")))) and found.group(), 30, "the reason is shown")
    assert text.startswith("exit 137, out of memory at 64Mi")
    server.wait_ready("bot")


def test_the_exit_code_of_a_program_is_told(server):
    server.deploy("bot", persistence={"retry": {"max": 1}})
    server.call("bot", "/exit/a?code=42", "POST")
    wait_for(lambda: "exit 42" in str(server.agent("bot")), 30, "the reason is shown")
    wait_for(lambda: server.agent("bot")["restarts"] == 1, 30)


def test_an_unhealthy_instance_is_replaced(server):
    server.deploy("bot", health={"endpoint": "/health", "interval": "100ms", "timeout": "1s", "retries": 2})
    before = self_of(server, "bot")
    health = server.api("GET", "/v1/agents/bot/health")
    assert [row["healthy"] for row in health["instances"]] == [True] and health["instances"][0]["kind"] == "http"
    server.call("bot", "/sick", "POST")
    wait_for(lambda: not all(row["healthy"] for row in server.api("GET", "/v1/agents/bot/health")["instances"])
             or self_of(server, "bot")["born"] != before["born"], 30, "somebody notices")  # fmt: skip
    # Probes are not requests.
    assert {row["target"] for row in server.requests(agent="bot")} == {"/sick"}


def log_lines(server, agent, query=""):
    reply = server.request("GET", f"/v1/agents/{agent}/logs?{query}")
    assert reply.status == 200, reply
    return [json.loads(line) for line in reply.body.splitlines()]


def test_logs_can_be_filtered_and_followed(server):
    server.deploy("bot")
    for number in range(5):
        server.call("bot", f"/say?text=line-{number}")
    lines = wait_for(lambda: len(found := log_lines(server, "bot", "filter=line-")) == 10 and found, 20, "all lines are there")
    assert {line["stream"] for line in lines} == {"stdout", "stderr"}
    assert [line["line"] for line in log_lines(server, "bot", "filter=line-&stream=stdout")] == [f"line-{n}" for n in range(5)]
    assert [line["line"] for line in log_lines(server, "bot", "stream=stderr&tail=2")] == ["line-3", "line-4"]
    assert log_lines(server, "bot", "since=0s&filter=nothing-like-it") == []
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)

    connection = server.connection(timeout=30)
    connection.request("GET", "/v1/agents/bot/logs?follow=true&tail=0&stream=stdout", headers={"Authorization": f"Bearer {server.key}"})
    response = connection.getresponse()
    server.call("bot", "/say?text=live")
    assert json.loads(response.readline())["line"] == "live"
    connection.close()


def test_stats_tell_what_an_instance_uses(server):
    server.deploy("bot", resources={"memory": "200Mi", "pids": 77})
    server.call("bot", "/do/a", "POST")
    for path in ("/v1/agents/bot/stats", "/v1/stats"):
        (row,) = server.api("GET", path)["data"]
        assert row["agent"] == "bot" and row["replica"] == 0
        assert 1 << 20 < row["memory_bytes"] < 200 << 20
        assert (row["memory_limit_bytes"], row["pids_limit"]) == (200 << 20, 77)
        assert row["pids"] >= 1 and row["cpu_ms"] > 0 and row["requests_total"] >= 1


def test_an_agent_sees_its_own_environment_only(server):
    server.deploy("bot", env={"LOG_LEVEL": "debug"}, port=9123)
    environment = server.call("bot", "/environment").json()
    assert (environment["LOG_LEVEL"], environment["PORT"]) == ("debug", "9123")
    assert not {name for name in environment if name in os.environ and os.environ[name] == environment[name]} - {"PATH", "LANG", "LC_ALL", "HOME", "TERM", "PWD", "USER", "SHLVL", "LC_CTYPE"}
    assert "HARNESS_SECRET" not in environment


def test_killing_one_replica_leaves_the_other_answering(server, pool):
    server.deploy("bot", replicas=2)
    first = pool.submit(server.call, "bot", "/hold/a", "POST", "x")
    wait_for(lambda: server.requests(agent="bot", status="processing"), 20)
    (busy,) = [instance for instance in server.agent("bot")["instances"] if instance["in_flight"]]
    server.kill_agent("bot", busy["replica"])
    for number in range(10):
        assert server.call("bot", f"/do/{number}", "POST").status == 200
    # The held one lands where nobody holds the gate open yet; it is released wherever it is.
    wait_for(lambda: [server.call("bot", "/release/a", "POST") for _ in range(4)] and first.done(), 60, "the caller is answered")
    assert first.result().json()["attempt"] == "2"
