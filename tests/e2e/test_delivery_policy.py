"""How often, when and in which order requests go out: policies, order keys, priorities, bounds, breakers."""
import concurrent.futures
import time

import pytest

from gantry_server import wait_for

ASYNC = {"Prefer": "respond-async"}


def starts(server, agent="bot"):
    return [row[1] for row in server.agent_log(agent) if row[0] == "start"]


def persistence(**retry):
    return {"persistence": {"retry": {"policy": "fixed", "initial": "20ms", "cap": "20ms", **retry}}}


# ---- Retry policy


def test_a_status_is_final_unless_it_is_listed(server):
    server.deploy("bot", **persistence())
    reply = server.call("bot", "/answer/a?until=9", "POST", "x")
    assert reply.status == 503 and reply.json() == {"error": "not yet"}
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert (shown["status"], shown["attempts"], shown["response_status"]) == ("completed", 1, 503)


def test_a_listed_status_is_tried_again(server):
    server.deploy("bot", **persistence(retry_on=["503"]))
    reply = server.call("bot", "/answer/a?until=3", "POST", "x")
    assert reply.status == 200 and reply.json()["attempt"] == "3"
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert [one["outcome"] for one in shown["attempt_log"]] == ["answered", "answered", "completed"]
    assert shown["attempt_log"][0]["detail"] == 'answered 503 Service Unavailable: {"error": "not yet"}'
    assert all(one["instance"] and one["started_at"] and one["ended_at"] for one in shown["attempt_log"])


def test_a_request_brings_its_own_policy(server):
    server.deploy("bot", **persistence(max=1))
    policy = "max=3, policy=constant, initial=10ms, cap=10ms, retry_on=(503 died)"
    reply = server.call("bot", "/answer/a?until=3", "POST", "x", {"Gantry-Retry": policy})
    assert reply.status == 200 and reply.json()["attempt"] == "3"
    # Used up: a dead letter, and its caller is told what happened.
    reply = server.call("bot", "/answer/b?until=9", "POST", "x", {"Gantry-Retry": policy})
    assert (reply.status, reply.json()["id"]) == (503, "GR0404"), reply
    assert "answered 503" in reply.json()["message"]
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert (shown["status"], shown["attempts"], shown["dead_letter"]) == ("failed", 3, True)
    assert {one["detail"] for one in shown["attempt_log"]} == {'answered 503 Service Unavailable: {"error": "not yet"}'}
    assert "the attempts are used up" in shown["reason"]
    # It goes out again with what it asked for.
    server.api("POST", f"/v1/requests/{shown['id']}/requeue", {"target": "/answer/b?until=5"}, expect=202)
    again = server.wait_finished(shown["id"])
    assert (again["status"], again["attempts"], again["target"]) == ("completed", 5, "/answer/b?until=5")
    assert [one["attempt"] for one in again["attempt_log"]] == [1, 2, 3, 4, 5]
    assert shown["asked"] == {"priority": 5, "order_key": None, "not_before": None, "deadline": None,
                              "retry": {"max": 3, "policy": "fixed", "initial": "10ms", "cap": "10ms", "retry_on": ["died", "503"]}}


def test_a_policy_by_header_survives_a_crash_of_the_server(server):
    server.deploy("bot", **persistence(max=1))
    reply = server.call("bot", "/answer/a?until=4", "POST", "x",
                        {**ASYNC, "Gantry-Retry": "max=9, policy=fixed, initial=300ms, cap=300ms, retry_on=503"})
    request = reply.headers["Gantry-Request-Id"]
    wait_for(lambda: server.show(request)["attempts"] >= 1)
    server.restart()
    assert server.wait_finished(request)["status"] == "completed"
    assert server.show(request)["response_status"] == 200


@pytest.mark.parametrize("value", ["max=0", "max=many", "policy=soon", "initial=2", "colour=red", "max", "retry_on=(200)",
                                   "initial=2s, cap=1s", "deadline=0s", "timeout=1000d"])
def test_nonsense_is_refused_and_nothing_is_stored(server, value):
    server.deploy("bot")
    reply = server.call("bot", "/do/a", "POST", "x", {"Gantry-Retry": value})
    assert (reply.status, reply.json()["id"]) == (400, "GR0411"), reply
    assert "Gantry-Retry" in reply.json()["message"] and "max=3" in reply.json()["hint"]
    for headers in ({"Gantry-Priority": "10"}, {"Gantry-Priority": "high"}, {"Gantry-Order-Key": ""},
                    {"Gantry-Order-Key": "k" * 256}):
        reply = server.call("bot", "/do/a", "POST", "x", headers)
        assert (reply.status, reply.json()["id"]) == (400, "GR0412"), reply
    assert server.requests() == []


def test_retry_after_is_honoured(server):
    server.deploy("bot", **persistence(retry_on=["429"]))
    began = time.monotonic()
    reply = server.call("bot", "/answer/a?status=429&after=2&until=2", "POST", "x")
    assert reply.status == 200 and reply.json()["attempt"] == "2"
    assert time.monotonic() - began >= 2


def test_an_attempt_that_takes_too_long_is_ended(server):
    server.deploy("bot", **persistence(max=2, timeout="300ms"))
    reply = server.call("bot", "/do/a?ms=60000", "POST", "x")
    assert (reply.status, reply.json()["id"]) == (504, "GR0405"), reply
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert [one["outcome"] for one in shown["attempt_log"]] == ["timeout", "timeout"]
    assert shown["attempt_log"][0]["detail"] == "no whole answer in 300ms"


def test_a_deadline_ends_a_request_that_waits_and_one_that_runs(server):
    server.deploy("bot", **persistence(deadline="1s"))
    reply = server.call("bot", "/do/a?ms=60000", "POST", "x")
    assert (reply.status, reply.json()["id"]) == (504, "GR0415"), reply
    server.verb("bot", "stop")
    reply = server.call("bot", "/do/b", "POST", "x", {"Prefer": "wait=30"})
    assert (reply.status, reply.json()["id"]) == (504, "GR0415"), reply
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert (shown["status"], shown["attempts"]) == ("failed", 0)
    # Also after a restart of the server, and one that nobody waits for.
    reply = server.call("bot", "/do/c", "POST", "x", {"Gantry-Retry": "deadline=2s"})
    assert reply.status == 202
    server.restart()
    assert server.wait_finished(reply.headers["Gantry-Request-Id"])["status"] == "failed"
    server.verb("bot", "start")
    assert starts(server) == ["a"]


def test_what_is_not_listed_is_not_repeated(server):
    server.deploy("bot", **persistence(retry_on=["connect"]))
    reply = server.call("bot", "/die/a?until=9", "POST", "x")
    assert (reply.status, reply.json()["id"]) == (503, "GR0404"), reply
    shown = server.show(reply.headers["Gantry-Request-Id"])
    assert (shown["status"], shown["attempts"]) == ("failed", 1)
    assert "the policy does not repeat this" in shown["reason"]


def test_a_new_instance_gets_what_waits_at_once(server):
    server.deploy("bot", persistence={"retry": {"policy": "fixed", "initial": "1h", "cap": "1h"}})
    reply = server.call("bot", "/die/a?until=2", "POST", "x", ASYNC)
    # The backoff would be up to an hour: the new instance makes it pointless.
    shown = server.wait_finished(reply.headers["Gantry-Request-Id"], 60)
    assert (shown["status"], shown["attempts"]) == ("completed", 2)


# ---- Order and bounds


def test_an_order_key_keeps_order_per_key_and_runs_keys_side_by_side(server):
    server.deploy("bot", concurrency=16)
    server.verb("bot", "pause")
    ids = []
    for number in range(6):
        for key in "ab":
            reply = server.call("bot", f"/do/{key}{number}?ms=150", "POST", "x", {**ASYNC, "Gantry-Order-Key": key})
            assert reply.status == 202
            ids.append(reply.headers["Gantry-Request-Id"])
    began = time.monotonic()
    server.verb("bot", "resume")
    for request in ids:
        assert server.wait_finished(request)["status"] == "completed"
    took = time.monotonic() - began
    log = server.agent_log("bot")
    for key in "ab":
        words = [(row[0], row[1]) for row in log if row[1].startswith(key)]
        assert words == [(word, f"{key}{number}") for number in range(6) for word in ("start", "end")]
    assert took < 12 * 0.15 + 5, "the keys wait for each other"


def test_an_order_key_holds_back_what_comes_behind_a_failure(server):
    server.deploy("bot", **persistence(retry_on=["503"]), concurrency=16)
    ids = [server.call("bot", f"/answer/{n}?until={4 if n == 0 else 1}", "POST", "x",
                       {**ASYNC, "Gantry-Order-Key": "one"}).headers["Gantry-Request-Id"] for n in range(4)]
    for request in ids:
        assert server.wait_finished(request)["status"] == "completed"
    assert starts(server) == ["0", "0", "0", "0", "1", "2", "3"]


def test_an_order_key_survives_a_crash_of_the_server(server):
    server.deploy("bot", concurrency=16)
    first = server.call("bot", "/hold/0", "POST", "x", {**ASYNC, "Gantry-Order-Key": "one"})
    wait_for(lambda: starts(server) == ["0"])
    rest = [server.call("bot", f"/do/{n}", "POST", "x", {**ASYNC, "Gantry-Order-Key": "one"}) for n in (1, 2, 3)]
    server.restart()
    server.wait_ready("bot")
    wait_for(lambda: len(starts(server)) == 2)
    assert starts(server) == ["0", "0"]
    assert server.call("bot", "/release/0", "POST").status == 200
    for reply in (first, *rest):
        assert server.wait_finished(reply.headers["Gantry-Request-Id"])["status"] == "completed"
    assert [key for key in starts(server) if key in "123"] == ["1", "2", "3"]


def test_a_higher_priority_goes_first(server):
    server.deploy("bot", concurrency=1)
    server.verb("bot", "pause")
    ids = []
    for key, priority in (("usual", None), ("low", "0"), ("high", "9"), ("usual2", "5"), ("high2", "9")):
        headers = {**ASYNC, **({"Gantry-Priority": priority} if priority else {})}
        ids.append(server.call("bot", f"/do/{key}", "POST", "x", headers).headers["Gantry-Request-Id"])
    server.restart()
    server.verb("bot", "resume")
    for request in ids:
        server.wait_finished(request)
    assert starts(server) == ["high", "high2", "usual", "usual2", "low"]


def test_a_full_queue_refuses_and_keeps_what_it_has(server):
    server.deploy("bot", queue={"max": 5})
    server.verb("bot", "stop")
    with concurrent.futures.ThreadPoolExecutor(20) as callers:
        replies = list(callers.map(lambda n: server.call("bot", f"/do/{n}", "POST", "x"), range(40)))
    accepted = [reply for reply in replies if reply.status == 202]
    refused = [reply for reply in replies if reply.status == 429]
    assert (len(accepted), len(refused)) == (5, 35)
    assert refused[0].json()["id"] == "GR0402" and int(refused[0].headers["Retry-After"]) >= 1
    server.verb("bot", "start")
    for reply in accepted:
        assert server.wait_finished(reply.headers["Gantry-Request-Id"])["status"] == "completed"


def test_the_server_bounds_what_is_in_flight(make_server):
    server = make_server({"GANTRY_MAX_IN_FLIGHT": "4"}).start()
    server.deploy("bot")
    with concurrent.futures.ThreadPoolExecutor(4) as callers:
        held = [callers.submit(server.call, "bot", f"/hold/{n}", "POST", "x") for n in range(4)]
        wait_for(lambda: len(server.requests(status="processing")) == 4)
        for method in ("POST", "GET"):
            reply = server.call("bot", "/do/x", method, "x" if method == "POST" else None)
            assert (reply.status, reply.json()["id"]) == (503, "GR0413"), reply
            assert int(reply.headers["Retry-After"]) >= 1
        server.api("GET", "/v1/status", expect=200)
        for one in server.requests(status="processing"):
            server.api("POST", f"/v1/requests/{one['id']}/cancel", expect=200)
        assert {one.result(60).status for one in held} == {409}
    assert server.call("bot", "/do/x", "POST", "x").status == 200


# ---- Circuit breaker


def test_a_breaker_keeps_requests_pending_instead_of_burning_attempts(server):
    server.deploy("bot", **persistence(max=50, retry_on=["503"]), breaker={"failures": 3, "open": "1h"})
    bad = server.call("bot", "/answer/bad?until=1000", "POST", "x", ASYNC).headers["Gantry-Request-Id"]
    wait_for(lambda: [one["breaker"] for one in server.api("GET", "/v1/agents/bot/stats")["data"]] == ["open"])
    good = server.call("bot", "/do/good", "POST", "x", ASYNC).headers["Gantry-Request-Id"]
    time.sleep(0.5)
    assert server.show(bad)["attempts"] == 3
    assert (server.show(good)["status"], server.show(good)["attempts"]) == ("pending", 0)
    reply = server.call("bot", "/self")
    assert (reply.status, reply.json()["id"]) == (503, "GR0403") and "circuit breaker" in reply.json()["message"]
    # A new instance is worth a probe at once; its answer closes the breaker.
    server.api("POST", f"/v1/requests/{bad}/cancel", expect=200)
    server.verb("bot", "restart")
    assert server.wait_finished(good)["status"] == "completed"


def test_a_breaker_closes_after_a_probe(server):
    server.deploy("bot", **persistence(max=50, retry_on=["503"]), breaker={"failures": 2, "open": "300ms"})
    reply = server.call("bot", "/answer/a?until=5", "POST", "x")
    assert reply.status == 200 and reply.json()["attempt"] == "5"
    assert server.call("bot", "/do/b", "POST", "x").status == 200


# ---- Callers that leave


@pytest.mark.parametrize("running", [True, False])
def test_a_caller_that_leaves_takes_its_request_with_it_only_if_it_asked(server, running):
    server.deploy("bot", concurrency=1)
    if not running:
        first = server.call("bot", "/hold/first", "POST", "x", ASYNC).headers["Gantry-Request-Id"]
        wait_for(lambda: server.show(first)["status"] == "processing")

    def leave_behind(key, headers):
        connection = server.connection()
        connection.request("POST", f"/agent/bot/do/{key}?ms=2000", b"x",
                           {**headers, "Authorization": f"Bearer {server.key}"})
        wanted = "processing" if running else "pending"
        found = wait_for(lambda: [one for one in server.requests(status=wanted) if f"/{key}?" in one["target"]])
        connection.close()
        return found[0]["id"]

    kept = leave_behind("kept", {})
    if running:
        assert server.wait_finished(kept)["status"] == "completed"
    gone = leave_behind("gone", {"Gantry-Cancel-On-Disconnect": "true"})
    shown = server.wait_finished(gone)
    assert (shown["status"], shown["reason"]) == ("cancelled", "the caller left")
    if not running:
        server.api("POST", f"/v1/requests/{first}/cancel")
    assert server.wait_finished(kept)["status"] == "completed"
