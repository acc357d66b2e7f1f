"""Many callers, and callers that do not play fair."""
import asyncio
import collections
import resource
import socket
import threading
import time

import pytest

from gantry_server import wait_for
from http_wire import Connection, head

CALLERS = 1000


async def one_call(server, number, gate):
    parts = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(*parts)
    await gate.wait()
    fields = [("Host", "x"), ("Authorization", f"Bearer {server.key}"), ("Content-Length", "3"), ("Connection", "close")]
    writer.write(head("POST", f"/agent/bot/do/n{number}", fields) + b"abc")
    answer = await asyncio.wait_for(reader.read(), 120)
    writer.close()
    return answer


async def all_calls(server):
    gate = asyncio.Event()
    calls = [asyncio.ensure_future(one_call(server, number, gate)) for number in range(CALLERS)]
    gate.set()
    return await asyncio.gather(*calls)


def test_a_thousand_callers_at_once_are_all_answered_once(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    server.deploy("bot", concurrency=32, resources={"memory": "512Mi", "pids": 1024})
    answers = asyncio.run(all_calls(server))
    statuses = collections.Counter(answer.split(b" ", 2)[1] for answer in answers)
    assert statuses == {b"200": CALLERS}
    log = server.agent_log("bot")
    assert collections.Counter(key for word, key, _, _ in log if word == "end") == {f"n{number}": 1 for number in range(CALLERS)}
    assert len(server.requests(agent="bot", status="completed")) == CALLERS
    assert server.agent("bot")["pending"] == server.agent("bot")["processing"] == 0


def test_no_more_requests_are_in_an_instance_than_it_allows(server, pool):
    server.deploy("bot", concurrency=3)
    held = [pool.submit(server.call, "bot", f"/hold/h{number}", "POST") for number in range(8)]
    wait_for(lambda: len(server.requests(agent="bot")) == 8, 20, "all are accepted")
    wait_for(lambda: server.agent("bot")["processing"] == 3, 20, "three are at work")
    assert (server.agent("bot")["pending"], server.agent("bot")["instances"][0]["in_flight"]) == (5, 3)
    # Released from outside, since the proxy itself has no slot for a release.
    server.verb("bot", "restart", wait=None)
    server.api("DELETE", "/v1/agents/bot", timeout=60)
    assert {future.result(60).status for future in held} <= {202, 404, 502, 503}


def drip(server, ending, opened, kind):
    """A peer that sends one byte now and then, or reads none of its answer, until `ending`."""
    with Connection(server.url, timeout=60) as connection:
        fields = [("Host", "x"), ("Authorization", f"Bearer {server.key}")]
        if kind == "head":
            connection.send(b"GET /healthz HT")
        elif kind == "body":
            connection.send(head("POST", "/agent/echo/x", [*fields, ("Content-Length", "100000")]) + b"x")
        else:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send(head("POST", "/agent/echo/mirror", [*fields, ("Content-Length", str(8 << 20))]) + bytes(8 << 20))
        opened.release()
        while not ending.wait(0.2):
            if kind != "read":
                try:
                    connection.send(b"x")
                except Exception:
                    return


@pytest.mark.parametrize("kind", ["head", "body", "read"])
def test_slow_peers_do_not_stall_others(server, kind):
    server.deploy("echo", "echo.py", concurrency=256)
    ending, opened = threading.Event(), threading.Semaphore(0)
    peers = 20 if kind == "read" else 100
    slow = [threading.Thread(target=drip, args=(server, ending, opened, kind)) for _ in range(peers)]
    for thread in slow:
        thread.start()
    try:
        for _ in slow:
            assert opened.acquire(timeout=60)
        began = time.monotonic()
        for number in range(50):
            assert server.call("echo", f"/{number}", "POST", b"x", timeout=20).status == 200
            assert server.call("echo", f"/{number}", timeout=20).status == 200
        # Not a measurement: a stalled thread would cost many seconds for each call.
        assert time.monotonic() - began < 30
    finally:
        ending.set()
        for thread in slow:
            thread.join(60)


@pytest.mark.long(seconds=35)
def test_a_head_that_never_ends_is_cut_off(server):
    with Connection(server.url, timeout=40) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        answer = connection.read_answer()
        assert answer.status == 408
