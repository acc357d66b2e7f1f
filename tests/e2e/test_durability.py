"""A.3, A.4, A.5, A.7: an accepted request is delivered, answered, and findable, whatever dies."""
import os
import time

import pytest

from gantry_server import GantryServer, wait_for


def starts_of(server, agent, key):
    return [row for row in server.agent_log(agent) if row[:2] == ["start", key]]


def wait_started(server, agent, key, attempt="1", seconds=30):
    """Until the agent itself has noted that it works on this delivery."""
    wait_for(lambda: any(row[2] == attempt for row in starts_of(server, agent, key)), seconds, f"{key} has started as attempt {attempt}")


# ---- A.3: the agent is not there.


def test_requests_to_a_stopped_agent_are_kept_and_delivered_once_in_order(server, pool):
    server.deploy("bot", concurrency=1)
    server.verb("bot", "stop")
    keys, ids = [f"k{n:02}" for n in range(25)], []
    for key in keys:
        reply = server.call("bot", f"/do/{key}", "POST", key)
        assert reply.status == 202, reply
        body = reply.json()
        assert body["status"] == "pending"
        assert reply.headers["Location"] == f"/v1/requests/{body['request_id']}"
        assert reply.headers["Gantry-Request-Id"] == body["request_id"]
        ids.append(body["request_id"])
    waiting = pool.submit(server.call, "bot", "/do/last", "POST", "x", {"Prefer": "wait=60"})
    wait_for(lambda: len(server.requests(agent="bot", status="pending")) == len(keys) + 1, 20, "the waiting one is accepted")
    assert not waiting.done()

    server.verb("bot", "start")
    reply = waiting.result(60)
    assert (reply.status, reply.json()["key"]) == (200, "last")
    for key, request_id in zip(keys, ids):
        shown = server.wait_finished(request_id)
        assert (shown["status"], shown["attempts"], shown["response_status"]) == ("completed", 1, 200)
        assert shown["request"]["body"]["text"] == key
    expected = [word for key in [*keys, "last"] for word in (("start", key), ("end", key))]
    assert [(word, key) for word, key, _, _ in server.agent_log("bot")] == expected


def test_a_caller_that_waits_too_short_gets_202_and_the_request_stays(server):
    server.deploy("bot")
    server.verb("bot", "stop")
    began = time.monotonic()
    reply = server.call("bot", "/do/a", "POST", "x", {"Prefer": "wait=1"})
    assert reply.status == 202 and 0.9 < time.monotonic() - began < 20
    server.verb("bot", "start")
    assert server.wait_finished(reply.json()["request_id"])["status"] == "completed"


def test_respond_async_is_answered_at_once_though_the_agent_is_ready(server):
    server.deploy("bot")
    reply = server.call("bot", "/hold/a", "POST", "x", {"Prefer": "respond-async"})
    assert reply.status == 202
    wait_started(server, "bot", "a")
    server.call("bot", "/release/a", "POST")
    assert server.wait_finished(reply.json()["request_id"])["attempts"] == 1


def test_a_caller_that_leaves_changes_nothing(server):
    server.deploy("bot")
    connection = server.connection()
    connection.request("POST", "/agent/bot/hold/a", b"x", {"Authorization": f"Bearer {server.key}"})
    wait_started(server, "bot", "a")
    connection.close()
    server.call("bot", "/release/a", "POST")
    (request,) = wait_for(lambda: [row for row in server.requests(agent="bot", status="completed") if row["target"] == "/hold/a"], 30)
    assert (request["attempts"], request["response_status"]) == (1, 200)


def test_a_get_to_a_stopped_agent_is_refused_and_not_kept(server, pool):
    server.deploy("bot")
    server.verb("bot", "stop")
    reply = server.call("bot", "/self")
    assert (reply.status, reply.json()["id"]) == (503, "GR0403")
    waiting = pool.submit(server.call, "bot", "/self", headers={"Prefer": "wait=60"})
    server.verb("bot", "start")
    assert waiting.result(60).status == 200
    assert server.requests(agent="bot") == []


# ---- A.4: slow is not dead.


@pytest.mark.long(seconds=75)
def test_a_request_of_60_seconds_is_executed_once(server):
    server.deploy("bot", timeout="5m", health={"interval": "1s"})
    reply = server.call("bot", "/do/long?ms=60000", "POST", "x", timeout=120)
    assert (reply.status, reply.json()["attempt"]) == (200, "1")
    assert [row[0] for row in server.agent_log("bot")] == ["start", "end"]
    assert server.show(reply.headers["Gantry-Request-Id"])["attempts"] == 1


# ---- A.5: the agent dies in the middle.


@pytest.mark.parametrize("program", ["worker.py"])
def test_a_request_whose_agent_is_killed_is_delivered_again_and_its_caller_answered(server, pool, program):
    server.deploy("bot", program)
    waiting = pool.submit(server.call, "bot", "/hold/a", "POST", "payload")
    wait_started(server, "bot", "a")
    server.kill_agent("bot")
    wait_started(server, "bot", "a", attempt="2")
    assert server.call("bot", "/release/a", "POST").status == 200
    reply = waiting.result(60)
    assert (reply.status, reply.json()["attempt"], reply.json()["bytes"]) == (200, "2", 7)

    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert (shown["status"], shown["attempts"]) == ("completed", 2)
    assert [attempt["outcome"] for attempt in shown["attempt_log"]] == ["died", "completed"]
    assert all(attempt["started_at"] <= attempt["ended_at"] for attempt in shown["attempt_log"])
    assert [row[2] for row in starts_of(server, "bot", "a")] == ["1", "2"]
    assert len({row[3] for row in starts_of(server, "bot", "a")}) == 1, "the request kept its id"


def test_a_request_whose_server_is_killed_is_delivered_again(server, pool):
    server.deploy("bot")
    waiting = pool.submit(server.call, "bot", "/hold/a", "POST", "payload")
    wait_started(server, "bot", "a")
    server.restart()
    with pytest.raises(Exception):
        waiting.result(60)
    server.wait_ready("bot")
    wait_started(server, "bot", "a", attempt="2")
    server.call("bot", "/release/a", "POST")
    (request,) = wait_for(lambda: [row for row in server.requests(agent="bot", status="completed") if row["target"] == "/hold/a"], 30)
    assert request["attempts"] == 2
    assert server.show(request["id"])["attempt_log"][0]["outcome"] == "interrupted"


def test_a_request_that_kills_every_agent_becomes_a_dead_letter(server):
    server.deploy("bot", persistence={"retry": {"policy": "fixed", "max": 3, "initial": "10ms", "cap": "10ms"}})
    reply = server.call("bot", "/die/a?until=99", "POST", "x", timeout=90)
    assert reply.status in (502, 503, 504), reply
    problem = reply.json()
    assert problem["id"] == "GR0404" and "dead letter" in problem["hint"], problem
    shown = server.show(problem["request_id"])
    assert (shown["status"], shown["dead_letter"], shown["attempts"]) == ("failed", True, len(shown["attempt_log"]))
    # Between its death and the moment that this is known, the instance refuses, which uses up none of the three.
    outcomes = [attempt["outcome"] for attempt in shown["attempt_log"]]
    assert outcomes.count("died") == 3 and set(outcomes) <= {"died", "refused"}, outcomes
    assert shown["reason"]
    assert [row["id"] for row in server.requests(agent="bot", status="failed")] == [shown["id"]]

    # The cause is gone (the fourth attempt would survive): the same request as a new one.
    replayed = server.api("POST", f"/v1/requests/{shown['id']}/replay", expect=202)
    assert server.show(replayed["request_id"])["replay_of"] == shown["id"]
    assert server.wait_finished(replayed["request_id"])["status"] == "failed"


def test_an_attempt_that_takes_too_long_is_ended_and_tried_again(server):
    server.deploy("bot", timeout="400ms", persistence={"retry": {"policy": "fixed", "max": 2, "initial": "10ms", "cap": "10ms"}})
    reply = server.call("bot", "/hold/a", "POST", "x", timeout=60)
    assert (reply.status, reply.json()["id"]) == (504, "GR0405"), reply
    shown = server.show(reply.json()["request_id"])
    assert [attempt["outcome"] for attempt in shown["attempt_log"]] == ["timeout", "timeout"]
    assert shown["dead_letter"] and "400ms" in shown["reason"]
    reply = server.call("bot", "/slow?ms=2000")
    assert (reply.status, reply.json()["id"]) == (504, "GR0405"), reply


def test_a_request_waits_for_its_next_attempt_in_order_at_concurrency_one(server, pool):
    server.deploy("bot", concurrency=1, persistence={"retry": {"policy": "fixed", "max": 5, "initial": "300ms", "cap": "300ms"}})
    first = pool.submit(server.call, "bot", "/die/a?until=2", "POST", "x")
    wait_for(lambda: server.requests(agent="bot"), 20)
    rest = []
    for key in ("b", "c", "d"):
        rest.append(pool.submit(server.call, "bot", f"/do/{key}", "POST", "x", {"Prefer": "wait=60"}))
        wait_for(lambda: len(server.requests(agent="bot")) == len(rest) + 1, 20)
    assert [future.result(60).status for future in [first, *rest]] == [200] * 4
    ends = [key for word, key, _, _ in server.agent_log("bot") if word == "end"]
    assert ends == ["a", "b", "c", "d"]


# ---- What becomes of requests.


def test_a_completed_request_is_found_after_a_crash_with_its_answer(server):
    server.deploy("bot")
    reply = server.call("bot", "/do/a?x=1", "POST", "payload", {"X-Mine": "1"})
    request_id = reply.headers["Gantry-Request-Id"]
    for _ in range(2):
        shown = server.show(request_id)
        assert (shown["method"], shown["target"], shown["status"], shown["response_status"]) == ("POST", "/do/a?x=1", "completed", 200)
        assert ["X-Mine", "1"] in shown["request"]["headers"]
        assert not [name for name, _ in shown["request"]["headers"] if name.lower() == "authorization"]
        assert shown["request"]["body"]["text"] == "payload"
        assert shown["response"]["body"]["text"].encode() == reply.body
        assert server.request("GET", f"/v1/requests/{request_id}/response").body == reply.body
        server.restart()


def test_a_replay_is_a_new_request_with_the_same_content(server):
    server.deploy("bot")
    first = server.call("bot", "/do/a", "POST", "payload").headers["Gantry-Request-Id"]
    reply = server.request("POST", f"/v1/requests/{first}/replay")
    assert reply.status == 202
    second = reply.json()["request_id"]
    assert second != first and reply.headers["Location"] == f"/v1/requests/{second}"
    shown = server.wait_finished(second)
    assert (shown["replay_of"], shown["status"], shown["request"]["body"]["text"]) == (first, "completed", "payload")
    assert [row[3] for row in starts_of(server, "bot", "a")] == [first, second]


def test_requests_of_a_removed_agent_become_dead_letters(server, pool):
    server.deploy("bot", concurrency=1)
    in_work = pool.submit(server.call, "bot", "/hold/a", "POST", "x")
    wait_for(lambda: server.requests(agent="bot", status="processing"), 20)
    behind = pool.submit(server.call, "bot", "/do/b", "POST", "x")
    kept = server.call("bot", "/do/c", "POST", "x", {"Prefer": "respond-async"}).json()["request_id"]
    wait_for(lambda: len(server.requests(agent="bot")) == 3, 20)

    server.api("DELETE", "/v1/agents/bot", timeout=60)
    assert server.request("GET", "/v1/agents/bot").status == 404
    wait_for(lambda: len(server.requests(agent="bot", status="failed")) == 3, 40, "all three are dead letters")
    shown = server.show(kept)
    assert shown["dead_letter"] and "removed" in shown["reason"]
    for caller in (in_work, behind):
        assert caller.result(60).status in (202, 404, 502, 503)
    # A new agent of that name starts empty.
    server.deploy("bot")
    assert server.agent("bot")["pending"] == 0
    assert server.agent_log("bot") == []


@pytest.mark.long(seconds=80)
def test_retention_takes_finished_requests_and_nothing_else(make_server):
    server = make_server(environment={"GANTRY_HOUSEKEEPING_INTERVAL": "1s"}).start()
    server.deploy("short", persistence={"retention": "1m"})
    server.deploy("long", persistence={"retention": "1d"})
    server.deploy("stopped", persistence={"retention": "1m"})
    server.verb("stopped", "stop")
    gone = server.call("short", "/do/a", "POST", "x" * 100_000).headers["Gantry-Request-Id"]
    kept = server.call("long", "/do/a", "POST", "x").headers["Gantry-Request-Id"]
    pending = server.call("stopped", "/do/a", "POST", "x").headers["Gantry-Request-Id"]
    began = time.monotonic()
    blobs = server.data / "journal" / "blobs"
    (blob,) = [path for path in blobs.rglob("*") if path.is_file()]
    # A young blob may belong to a record that is not written yet; this one is old.
    os.utime(blob, (0, 0))

    wait_for(lambda: server.request("GET", f"/v1/requests/{gone}").status == 404, 90, "the request passed its retention")
    assert time.monotonic() - began > 55, "it went too early"
    assert server.show(kept)["status"] == "completed"
    assert server.show(pending)["status"] == "pending"
    wait_for(lambda: not blob.exists(), 30, "its body is deleted")


def test_retention_by_count_keeps_the_newest_and_the_trail_says_what_went(make_server):
    server = make_server(environment={"GANTRY_HOUSEKEEPING_INTERVAL": "1s"}).start()
    server.deploy("few", persistence={"retention": {"age": "1d", "count": 3}})
    server.deploy("many")
    sent = [server.call("few", f"/do/{number}", "POST", "x").headers["Gantry-Request-Id"] for number in range(8)]
    for number in range(8):
        server.call("many", f"/do/{number}", "POST", "x")
    wait_for(lambda: [row["id"] for row in server.requests(agent="few")] == sent[:-4:-1], 60, "three are kept")
    assert len(server.requests(agent="many")) == 8
    expired = server.api("GET", "/v1/audit?action=requests.expire")["data"]
    assert {row["subject"] for row in expired} == {"few"} and sum(row["details"]["count"] for row in expired) == 5


@pytest.mark.parametrize("limit,blobs", [("0", 1), ("64Ki", 0)])
def test_a_longer_answer_than_the_limit_is_kept_beside_its_record(server, limit, blobs):
    server.deploy("bot", program="echo.py", persistence={"response_limit": limit})
    body = bytes(range(256)) * 40
    reply = server.call("bot", "/mirror", "POST", body)
    assert reply.body == body
    request = reply.headers["Gantry-Request-Id"]
    assert len([path for path in (server.data / "journal" / "blobs").rglob("*") if path.is_file()]) == blobs
    server.restart()
    assert server.request("GET", f"/v1/requests/{request}/response").body == body


# ---- A.7: one server.


def test_a_second_server_on_one_data_directory_is_refused(server):
    second = GantryServer(server.home)
    process = second.spawn()
    try:
        assert process.wait(30) == 5
        assert process.stdout.read() == b""
    finally:
        process.stdout.close()
        second.end() if second.running() else None
    told = server.log_tail()
    assert "GR0001" in told and str(server.pid) in told and str(server.data) in told
    assert server.request("GET", "/readyz").status == 200
    # After the first one is gone, even by force, the next may have it.
    server.restart()
    assert server.stop() == 0
    assert not (server.data / "server.json").exists()
