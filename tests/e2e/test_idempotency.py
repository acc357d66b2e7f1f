"""One execution for one Idempotency-Key; requests for later; requests that are taken back."""
import base64
import collections
import concurrent.futures
import json

import pytest

from gantry_server import wait_for


def starts_of(server, key):
    return [row for row in server.agent_log("bot") if row[0] == "start" and row[1] == key]


def test_the_same_key_is_executed_once_and_answered_from_the_record(server):
    server.deploy("bot")
    headers = {"Idempotency-Key": '"order 17"'}
    first = server.call("bot", "/do/a?x=1", "POST", "payload", headers)
    assert first.status == 200 and "Idempotent-Replayed" not in first.headers
    # Also after the history has it, and after a crash.
    for _ in range(2):
        again = server.call("bot", "/do/a?x=1", "POST", "payload", headers)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Gantry-Request-Id"] == first.headers["Gantry-Request-Id"]
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        server.restart()
        server.wait_ready("bot")
    assert len(starts_of(server, "a")) == 1
    assert server.show(first.headers["Gantry-Request-Id"])["idempotency_key"] == "order 17"


def test_another_request_under_a_key_is_refused(server):
    server.deploy("bot")
    headers = {"Idempotency-Key": "k1"}
    first = server.call("bot", "/do/a", "POST", "payload", headers)
    assert first.status == 200
    for path, method, body in (("/do/a", "POST", "other"), ("/do/b", "POST", "payload"), ("/do/a", "PUT", "payload")):
        reply = server.call("bot", path, method, body, headers)
        assert (reply.status, reply.json()["id"]) == (422, "GR0407"), reply
        assert first.headers["Gantry-Request-Id"] in reply.json()["message"]
    # Another agent has keys of its own.
    server.deploy("other")
    assert server.call("other", "/do/b", "POST", "payload", headers).status == 200


def test_a_key_in_flight_is_a_conflict_or_a_wait(server, pool):
    server.deploy("bot")
    headers = {"Idempotency-Key": "slow"}
    first = pool.submit(server.call, "bot", "/hold/a", "POST", "x", headers)
    wait_for(lambda: server.requests(status="processing"), 20)
    early = server.call("bot", "/hold/a", "POST", "x", headers)
    assert (early.status, early.json()["id"]) == (409, "GR0408")
    assert int(early.headers["Retry-After"]) >= 1
    assert early.headers["Gantry-Request-Id"] == server.requests()[0]["id"]
    patient = pool.submit(server.call, "bot", "/hold/a", "POST", "x", {**headers, "Prefer": "wait=60"})
    assert server.call("bot", "/release/a", "POST").status == 200
    assert first.result(60).status == 200
    assert patient.result(60).body == first.result().body
    assert patient.result().headers["Idempotent-Replayed"] == "true"
    assert len(starts_of(server, "a")) == 1


def test_of_a_thousand_equal_keys_at_once_one_is_executed(server):
    server.deploy("bot", concurrency=64)
    headers = {"Idempotency-Key": "burst", "Prefer": "wait=60"}
    with concurrent.futures.ThreadPoolExecutor(100) as callers:
        replies = list(callers.map(lambda _: server.call("bot", "/do/burst?ms=50", "POST", "x", headers, timeout=90), range(1000)))
    assert collections.Counter(reply.status for reply in replies) == {200: 1000}
    assert len({reply.body for reply in replies}) == 1
    assert sum("Idempotent-Replayed" not in reply.headers for reply in replies) == 1
    assert len(starts_of(server, "burst")) == 1
    assert len(server.requests(agent="bot")) == 1


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_large_answer_is_replayed_byte_for_byte(make_server, encrypted):
    key = base64.b64encode(bytes(range(32))).decode()
    server = make_server({"GANTRY_ENCRYPTION_KEY": key} if encrypted else {}).start()
    server.deploy("bot", "echo.py")
    body, headers = bytes(range(256)) * 4096, {"Idempotency-Key": "large"}
    first = server.call("bot", "/mirror", "POST", body, headers)
    again = server.call("bot", "/mirror", "POST", body, headers)
    assert first.status == again.status == 200
    assert first.body == again.body == body
    assert again.headers["Idempotent-Replayed"] == "true"


def test_an_agent_can_insist_on_a_key(server):
    server.deploy("bot", persistence={"require_key": True})
    reply = server.call("bot", "/do/a", "POST", "x")
    assert (reply.status, reply.json()["id"]) == (400, "GR0409")
    assert "bot" in reply.json()["message"] and "same one to repeat" in reply.json()["hint"]
    assert server.call("bot", "/self").status == 200, "what is not journaled needs none"
    assert server.call("bot", "/do/a", "POST", "x", {"Idempotency-Key": "k"}).status == 200
    assert not [row for row in server.requests() if row["idempotency_key"] is None]


def test_nonsense_in_the_fields_stores_nothing(server):
    server.deploy("bot")
    for headers in ({"Idempotency-Key": ""}, {"Idempotency-Key": '"open'}, {"Idempotency-Key": "k" * 256},
                    {"Gantry-Delay": "soon"}, {"Gantry-Not-Before": "tomorrow"}, {"Gantry-Delay": "99999h"},
                    {"Gantry-Delay": "1m", "Gantry-Not-Before": "2030-01-01T00:00:00Z"}):  # fmt: skip
        reply = server.call("bot", "/do/a", "POST", "x", headers)
        assert reply.status == 400 and reply.json()["id"] in ("GR0409", "GR0410"), (headers, reply)
        assert reply.json()["hint"]
    assert server.requests() == []


def test_a_request_for_later_waits_over_a_restart_and_goes_out_once(server):
    server.deploy("bot", concurrency=1)
    reply = server.call("bot", "/do/later", "POST", "x", {"Gantry-Delay": "3s"})
    assert reply.status == 202 and reply.json()["status"] == "pending"
    shown = server.show(reply.json()["request_id"])
    assert shown["next_attempt_at"] > shown["created_at"]
    # It holds nobody back, not even where the order counts.
    assert server.call("bot", "/do/now", "POST", "x").status == 200
    server.restart()
    server.wait_ready("bot")
    assert server.show(reply.json()["request_id"])["status"] == "pending"
    done = server.wait_finished(reply.json()["request_id"])
    assert (done["status"], done["attempts"]) == ("completed", 1)
    assert done["attempt_log"][0]["started_at"] >= shown["next_attempt_at"]
    assert len(starts_of(server, "later")) == 1
    # Whoever likes can wait for it.
    reply = server.call("bot", "/do/soon", "POST", "x", {"Gantry-Delay": "200ms", "Prefer": "wait=30"})
    assert reply.status == 200


def test_a_waiting_request_that_is_cancelled_never_runs(server, pool):
    server.deploy("bot", concurrency=1)
    pool.submit(server.call, "bot", "/hold/a", "POST", "x")
    wait_for(lambda: server.requests(status="processing"), 20)
    waiting = pool.submit(server.call, "bot", "/do/never", "POST", "x")
    (row,) = wait_for(lambda: server.requests(status="pending"), 20)
    cancelled = server.api("POST", f"/v1/requests/{row['id']}/cancel")
    assert cancelled["status"] == "cancelled" and "root" in cancelled["reason"]
    reply = waiting.result(20)
    assert (reply.status, reply.json()["id"]) == (409, "GR0406")
    # Twice is no error; what has ended otherwise cannot be taken back.
    assert server.api("POST", f"/v1/requests/{row['id']}/cancel")["status"] == "cancelled"
    server.restart()
    server.wait_ready("bot")
    assert server.show(row["id"])["status"] == "cancelled"
    # The held one runs again after the restart and has the only slot.
    (held,) = wait_for(lambda: server.requests(status="processing"), 20)
    server.api("POST", f"/v1/requests/{held['id']}/cancel")
    assert starts_of(server, "never") == []
    assert row["id"] in [shown["id"] for shown in server.requests(status="cancelled")]


def test_a_running_request_that_is_cancelled_ends_at_once(server, pool):
    server.deploy("bot", timeout="5m")
    running = pool.submit(server.call, "bot", "/hold/a", "POST", "x")
    (row,) = wait_for(lambda: server.requests(status="processing"), 20)
    done = server.cli("requests", "cancel", row["id"])
    assert (done.returncode, done.stdout) == (0, f"{row['id']} is cancelled\n")
    assert running.result(20).status == 409
    shown = server.show(row["id"])
    assert (shown["status"], shown["attempt_log"][0]["outcome"]) == ("cancelled", "cancelled")
    # The agent is still there for others, and the request is never sent again.
    assert server.call("bot", "/do/b", "POST", "x").status == 200
    assert len(starts_of(server, "a")) == 1
    again = server.cli("requests", "cancel", server.requests(status="completed")[0]["id"])
    assert again.returncode == 5 and "completed already" in again.stderr


def test_a_cancelled_request_keeps_its_key(server):
    server.deploy("bot")
    server.verb("bot", "stop")
    reply = server.call("bot", "/do/a", "POST", "x", {"Idempotency-Key": "gone"})
    assert reply.status == 202
    server.api("POST", f"/v1/requests/{reply.json()['request_id']}/cancel")
    again = server.call("bot", "/do/a", "POST", "x", {"Idempotency-Key": "gone"})
    assert (again.status, again.headers["Idempotent-Replayed"]) == (409, "true")
    assert json.loads(again.body)["id"] == "GR0406"
