"""A.2: what a client sends is what the agent gets, and the other way round."""
import base64
import hashlib
import json
import random
import re
import threading

import pytest

from gantry_server import wait_for
from http_wire import Connection, chunk, frame, head, last_chunk, read_frame

KIB, MIB = 1 << 10, 1 << 20
ADDED = {"gantry-request-id", "gantry-attempt", "traceparent"}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection", "trailer"}
PROGRAMS = ["echo.py", "echo.js"]

# Journaled or passed through: the same promise, two ways through the server.
PATHS = {"journaled": {"enabled": True, "methods": ["POST", "PUT", "PATCH", "DELETE"]}, "passed through": {"enabled": False}}


@pytest.fixture(params=list(PATHS))
def path(request):
    return PATHS[request.param]


@pytest.fixture(params=PROGRAMS)
def echo(request, server, path):
    server.deploy("echo", request.param, persistence=path, concurrency=64)
    return server


@pytest.fixture
def raw_echo(server, path):
    server.deploy("echo", "echo.py", persistence=path, concurrency=64)
    return server


def exchange(server, method, target, fields=(), body=b"", framing="length", trailers=()):
    """One exchange on a connection of its own, written by hand."""
    fields = [("Host", "gantry.test"), ("Authorization", f"Bearer {server.key}"), *fields]
    with Connection(server.url) as connection:
        if framing == "chunked":
            connection.send(head(method, f"/agent/echo{target}", [*fields, ("Transfer-Encoding", "chunked")]))
            connection.send(chunk(body) + last_chunk(trailers))
        else:
            if body or method in ("POST", "PUT", "PATCH"):
                fields.append(("Content-Length", str(len(body))))
            connection.send(head(method, f"/agent/echo{target}", fields) + body)
        return connection.read_answer(method)


def described(answer):
    assert answer.status == 200, (answer.status, answer.body[:500])
    return json.loads(answer.body)


def foreign(fields):
    """The fields that are the client's: what Gantry adds, and what belongs to one connection only, left out."""
    return [[name, value] for name, value in fields if name.lower() not in ADDED | HOP_BY_HOP | {"content-length"}]


@pytest.mark.parametrize("target", [
    "/", "/?", "/?x=1", "/a/b%2Fc/%E2%82%AC", "/a//b/./../c;v=1", "/~:@!$&'()*,;=", "/p?a=1&a=2&a=&&b=%20+%2B&=x", "/p?q=a?b/c:d@e", "/%41%61%7e",
    "/long?" + "x" * 6000,
])  # fmt: skip
def test_the_target_arrives_byte_for_byte(echo, target):
    assert described(exchange(echo, "POST", target, body=b"x"))["line"] == f"POST {target} HTTP/1.1"
    assert described(exchange(echo, "GET", target))["line"] == f"GET {target} HTTP/1.1"


def test_the_bare_address_of_an_agent_is_its_root(raw_echo):
    assert described(exchange(raw_echo, "GET", ""))["target"] == "/"
    assert described(exchange(raw_echo, "POST", "?x=1"))["target"] == "/?x=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_arrives(echo, method):
    got = described(exchange(echo, method, "/m"))
    assert (got["method"], got["bytes"]) == (method, 0)


def test_fields_keep_their_order_spelling_and_repetition(echo):
    sent = [
        ["x-ODD-Spelling", "One"], ["Accept", "text/html"], ["X-Repeated", "b"], ["Accept", "application/json;q=0.5"], ["X-Repeated", "a"],
        ["x-repeated", "c"], ["X-Empty", ""], ["X-Spaces", "a  b\tc"], ["Cookie", "k=v; l=\"w\""], ["X-Latin", "caf\xe9"], ["User-Agent", "e2e/1 (test)"],
    ]  # fmt: skip
    for method in ("GET", "POST"):
        got = described(exchange(echo, method, "/fields", sent, body=b"y" if method == "POST" else b""))
        assert foreign(got["headers"]) == [["Host", "gantry.test"], *sent]


def test_fields_of_one_connection_stay_there(raw_echo):
    sent = [["Connection", "keep-alive, X-Mine"], ["X-Mine", "secret"], ["Keep-Alive", "timeout=5"], ["TE", "trailers"], ["X-Kept", "1"]]
    got = described(exchange(raw_echo, "POST", "/hop", sent, body=b"x"))
    assert foreign(got["headers"]) == [["Host", "gantry.test"], ["X-Kept", "1"]]
    assert not {name.lower() for name, _ in got["headers"]} & {"x-mine", "keep-alive"}


def test_a_client_cannot_forge_fields_of_gantry(raw_echo):
    forged = [["Gantry-Request-Id", "req_forged"], ["gantry-attempt", "99"], ["GANTRY-Anything", "x"], ["X-Own", "1"]]
    answer = exchange(raw_echo, "POST", "/forge", forged, body=b"x")
    got = described(answer)
    ours = sorted((name.lower(), value) for name, value in got["headers"] if name.lower().startswith("gantry-"))
    assert ours == [("gantry-attempt", "1"), ("gantry-request-id", answer.get("Gantry-Request-Id"))]
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", answer.get("Gantry-Request-Id"))


def test_the_agent_never_sees_the_key(raw_echo):
    server = raw_echo
    got = described(exchange(server, "POST", "/key", body=b"x"))
    assert not [name for name, _ in got["headers"] if name.lower() == "authorization"]
    assert server.key not in str(got)
    # A caller with an Authorization for the agent says who it is in Gantry-Key.
    reply = server.call("echo", "/key", "POST", b"x", {"Gantry-Key": server.key, "Authorization": "Basic b3duOmtleQ=="}, key=None)
    values = [value for name, value in reply.json()["headers"] if name.lower() == "authorization"]
    assert values == ["Basic b3duOmtleQ=="]
    assert server.key not in reply.body.decode()


def test_a_trace_is_continued_or_begun(raw_echo):
    ours = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for method in ("GET", "POST"):
        got = dict(described(exchange(raw_echo, method, "/t", [["traceparent", ours], ["tracestate", "a=b"]]))["headers"])
        assert (got["traceparent"], got["tracestate"]) == (ours, "a=b")
        made = [value for name, value in described(exchange(raw_echo, method, "/t"))["headers"] if name == "traceparent"]
        assert len(made) == 1 and re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", made[0])


def block(size):
    """Bytes that hold every value and do not repeat in step with any buffer."""
    piece = random.Random(size).randbytes(min(size, MIB + 7))
    return (piece * (size // len(piece) + 1))[:size] if size else b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, MIB, 100 * MIB])
def test_a_body_comes_back_byte_for_byte(echo, size, framing):
    body = block(size)
    with Connection(echo.url, timeout=120) as connection:
        fields = [("Host", "gantry.test"), ("Authorization", f"Bearer {echo.key}")]
        fields.append(("Transfer-Encoding", "chunked") if framing == "chunked" else ("Content-Length", str(size)))
        connection.send(head("POST", "/agent/echo/mirror", fields))
        sender = threading.Thread(target=send_body, args=(connection, body, framing))
        sender.start()
        answer = connection.read_head()
        assert answer.status == 200
        digest, count = hashlib.sha256(), 0
        for piece in connection.pieces(answer):
            digest.update(piece)
            count += len(piece)
        sender.join(60)
    assert (count, digest.digest()) == (size, hashlib.sha256(body).digest())
    if framing == "length":
        assert answer.get("Content-Length") == str(size)
    else:
        assert answer.get("Transfer-Encoding") == "chunked"


def send_body(connection, body, framing):
    step = 1 << 17
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        connection.send(chunk(piece) if framing == "chunked" else piece)
    if framing == "chunked":
        connection.send(last_chunk())


@pytest.mark.parametrize("size", [0, 1, 64 * KIB + 1])
def test_the_framing_of_a_body_is_kept(raw_echo, size):
    for framing in ("length", "chunked"):
        got = described(exchange(raw_echo, "POST", "/framing", body=block(size), framing=framing))
        assert (got["framing"], got["bytes"], got["sha256"]) == (framing, size, hashlib.sha256(block(size)).hexdigest())


@pytest.mark.parametrize("size", [3, 100 * KIB])
def test_trailers_pass_both_ways(raw_echo, size):
    trailers = [["X-Sum", "abc"], ["x-TWICE", "1"], ["x-twice", "2"]]
    got = described(exchange(raw_echo, "POST", "/t", body=block(size), framing="chunked", trailers=trailers))
    assert got["trailers"] == trailers
    answer = exchange(raw_echo, "POST", "/mirror", body=block(size), framing="chunked", trailers=trailers)
    assert [list(field) for field in answer.trailers] == trailers
    assert answer.body == block(size)


def test_an_answer_keeps_status_reason_fields_and_their_order(raw_echo):
    for method in ("GET", "POST"):
        answer = exchange(raw_echo, method, "/answer")
        assert (answer.status, answer.reason, answer.body) == (299, "Fine By Me", b"fixed")
        ours = {"content-length", "date", "connection", "gantry-request-id"}
        assert [field for field in answer.fields if field[0].lower() not in ours] == [
            ("Set-Cookie", "a=1"), ("x-oddly-SPELT", "one"), ("Set-Cookie", "b=2"), ("X-Empty", ""), ("X-Oddly-Spelt", "two")]  # fmt: skip
        assert len(answer.all("Gantry-Request-Id")) == 1


def test_head_is_answered_without_a_body_and_the_connection_goes_on(raw_echo):
    fields = [("Host", "gantry.test"), ("Authorization", f"Bearer {raw_echo.key}")]
    with Connection(raw_echo.url) as connection:
        connection.send(head("HEAD", "/agent/echo/h", fields))
        answer = connection.read_answer("HEAD")
        assert answer.status == 200 and int(answer.get("Content-Length")) > 100
        connection.send(head("GET", "/agent/echo/after", fields))
        assert described(connection.read_answer("GET"))["target"] == "/after"


def test_a_client_that_waits_for_100_gets_it(raw_echo):
    with Connection(raw_echo.url, timeout=20) as connection:
        fields = [("Host", "gantry.test"), ("Authorization", f"Bearer {raw_echo.key}"), ("Expect", "100-continue"), ("Content-Length", "5")]
        connection.send(head("POST", "/agent/echo/wait", fields))
        assert connection.read_head().status == 100
        connection.send(b"hello")
        assert described(connection.read_answer("POST"))["sha256"] == hashlib.sha256(b"hello").hexdigest()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_first_event_arrives_before_the_agent_has_finished(raw_echo, method):
    server = raw_echo
    with Connection(server.url, timeout=20) as connection:
        fields = [("Host", "gantry.test"), ("Authorization", f"Bearer {server.key}"), ("Accept", "text/event-stream")]
        connection.send(head(method, "/agent/echo/sse", fields + ([("Content-Length", "0")] if method == "POST" else [])))
        answer = connection.read_head()
        assert (answer.status, answer.get("Content-Type")) == (200, "text/event-stream")
        pieces = connection.pieces(answer)
        # The agent has said nothing more: it waits for the release, which nobody has sent yet.
        assert next(pieces) == b"data: first\n\n"
        assert server.call("echo", "/release", "POST").status == 204
        assert b"".join(pieces) == b"data: second\n\n"


def test_websocket_frames_pass_both_ways(raw_echo):
    server = raw_echo
    key, mask = "dGhlIHNhbXBsZSBub25jZQ==", b"\x12\x34\x56\x78"
    with Connection(server.url, timeout=20) as connection:
        fields = [
            ("Host", "gantry.test"), ("Authorization", f"Bearer {server.key}"), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Protocol", "chat.v2"),
        ]  # fmt: skip
        connection.send(head("GET", "/agent/echo/ws", fields))
        answer = connection.read_head()
        assert answer.status == 101
        assert answer.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.get("Sec-WebSocket-Protocol") == "chat.v2"
        assert answer.get("Upgrade").lower() == "websocket"
        for opcode, payload in [(1, b"hello"), (2, block(200)), (2, block(70_000)), (9, b"ping"), (1, b"")]:
            connection.send(frame(opcode, payload, mask))
            assert read_frame(connection) == (opcode, payload)
        connection.send(frame(8, b"\x03\xe8", mask))
        assert read_frame(connection) == (8, b"\x03\xe8")
    wait_for(lambda: server.agent("echo")["instances"][0]["in_flight"] == 0, 10, "the tunnel is closed")


def test_a_large_recorded_answer_is_served_again_from_the_journal(server):
    server.deploy("echo", "echo.py")
    for size in (10, 64 * KIB + 1, 3 * MIB):
        answer = exchange(server, "POST", "/mirror", [["Content-Type", "application/x-thing"]], block(size))
        assert answer.body == block(size)
        recorded = server.request("GET", f"/v1/requests/{answer.get('Gantry-Request-Id')}/response")
        assert (recorded.status, recorded.body) == (200, block(size))
    assert server.wait_finished(answer.get("Gantry-Request-Id"))["request"]["body"] == {
        "bytes": 3 * MIB, "sha256": hashlib.sha256(block(3 * MIB)).hexdigest(), "truncated": True,
        "base64": base64.b64encode(block(3 * MIB)[: 64 * KIB]).decode()}  # fmt: skip
