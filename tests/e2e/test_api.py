"""Keys, errors, listings, and the document that describes them."""
import json
import re

import pytest

from gantry_server import AGENTS, wait_for
from http_wire import Connection, head

KEYLESS = [("GET", "/healthz"), ("GET", "/readyz")]


def problem(reply, status, code, error_id=None):
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = reply.json()
    assert (body["status"], body["code"], body.get("id")) == (status, code, error_id), body
    assert body["hint"] and body["request_id"] == reply.headers["Gantry-Request-Id"], body
    assert body["message"] and isinstance(body["retryable"], bool) and body["title"] and body["type"]
    return body


def test_health_needs_no_key_and_everything_else_does(server):
    for method, path in KEYLESS:
        reply = server.request(method, path, key=None)
        assert (reply.status, reply.json()) == (200, {"status": "ok"})
    document = server.api("GET", "/v1/openapi.json")
    for path, operations in document["paths"].items():
        for method in operations:
            if method.upper() in ("GET", "POST", "PUT", "DELETE", "HEAD") and (method.upper(), path) not in KEYLESS:
                for key in (None, "gk_" + "A" * 43, "", "root key"):
                    reply = server.request(method.upper(), re.sub(r"{\w+}", "x", path), key=key)
                    assert reply.status == 401, f"{method} {path} with key {key!r}: {reply}"
                    assert reply.headers["WWW-Authenticate"] == "Bearer"
    problem(server.request("GET", "/v1/status", key=None), 401, "unauthenticated", "GR0901")


def test_a_key_is_taken_from_either_field(server):
    assert server.request("GET", "/v1/status", key=None, headers={"Gantry-Key": server.key}).status == 200
    assert server.request("GET", "/v1/status", key=None, headers={"Authorization": f"bearer {server.key}"}).status == 200
    # Gantry-Key wins: a wrong one is not made up for by the other.
    assert server.request("GET", "/v1/status", headers={"Gantry-Key": "gk_wrong"}).status == 401


def test_the_root_key_is_for_its_owner_only(server):
    for name in ("root.key", "server.json"):
        assert (server.data / name).stat().st_mode & 0o777 == 0o600, name
    assert re.fullmatch(r"gk_[A-Za-z0-9_-]{43}\n", (server.data / "root.key").read_text())
    file = json.loads((server.data / "server.json").read_text())
    assert (file["url"], file["pid"]) == (server.url, server.pid)
    for path in server.data.rglob("*"):
        if path.is_file() and path.name != "root.key" and "workspaces" not in path.parts:
            assert server.key.encode() not in path.read_bytes(), f"{path} holds the key"


def test_a_public_agent_answers_without_a_key_and_only_there(server):
    server.deploy("open", public=True)
    server.deploy("closed")
    for method in ("GET", "POST"):
        assert server.call("open", "/do/a", method, key=None).status == 200
        problem(server.call("closed", "/do/a", method, key=None), 401, "unauthenticated", "GR0901")
    assert server.request("GET", "/v1/agents/open", key=None).status == 401
    # An agent that does not exist is not told from one that is closed.
    assert server.call("nobody", "/", key=None).status == 401
    (request,) = server.requests(agent="open")
    assert request["status"] == "completed"


def test_a_public_agent_gets_the_authorization_of_its_caller(server):
    server.deploy("echo", "echo.py", public=True)
    reply = server.call("echo", "/x", "POST", b"x", {"Authorization": "Basic abc"}, key=None)
    assert ["Authorization", "Basic abc"] in reply.json()["headers"]


def test_a_misspelt_agent_gets_a_suggestion(server):
    server.deploy("counter")
    for method, path in [("GET", "/v1/agents/countr"), ("POST", "/agent/countr/do/a"), ("GET", "/agent/countr/"), ("DELETE", "/v1/agents/countr"),
                         ("POST", "/v1/agents/countr/stop"), ("GET", "/v1/agents/countr/logs")]:  # fmt: skip
        body = problem(server.request(method, path), 404, "not_found", "GR0501")
        assert "counter" in body["hint"], body
    problem(server.request("GET", "/v1/requests/req_00000000000000000000000000"), 404, "not_found", "GR0401")
    problem(server.request("GET", "/v1/requests/nonsense"), 400, "invalid")
    problem(server.request("GET", "/nothing/here"), 404, "not_found")
    reply = server.request("DELETE", "/v1/status")
    problem(reply, 405, "unsupported")
    assert reply.headers["Allow"] == "GET"


def test_every_path_of_the_document_is_served_and_no_other(server):
    document = server.api("GET", "/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations
                 if method in ("get", "post", "put", "delete", "head", "patch") and not path.startswith("/agent/")}  # fmt: skip
    # The table of the server, as its source has it.
    source = (AGENTS.parents[2] / "src/server/api.cc").read_text()
    served = set(re.findall(r'{"([A-Z]+)", "(/[^"]*)", Access::', source))
    assert served == described
    assert any(path.startswith("/agent/") for path in document["paths"])
    # And as it answers: what is described is neither unknown nor of another method.
    for method, path in described - {("POST", "/v1/server/shutdown")}:
        reply = server.request(method, re.sub(r"{\w+}", "absent", path), b"" if method in ("POST", "PUT") else None)
        assert reply.status != 405, f"{method} {path}: {reply}"
        if reply.status == 404 and method != "HEAD":
            assert "there is nothing at" not in reply.json()["message"], f"{method} {path}: {reply}"
    for path in {path for _, path in described}:
        methods = {method for method, other in described if other == path}
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - methods:
            reply = server.request(method, re.sub(r"{\w+}", "absent", path))
            assert reply.status == 405, f"{method} {path} is served but not described: {reply}"


def test_validation_errors_come_all_at_once_with_their_places(server):
    text = "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: Bad_Name }\nspec:\n  command: python3 app.py\n  prot: 80\n  replicas: many\n"
    reply = server.request("PUT", "/v1/agents/bad", text, {"Content-Type": "application/yaml"})
    body = problem(reply, 400, "invalid")
    places = {(item["line"], item["severity"]) for item in body["diagnostics"]}
    assert {(3, "error"), (6, "error"), (7, "error")} <= places
    assert any("port" in item["help"] for item in body["diagnostics"])
    report = server.api("POST", "/v1/validate?file=a.yaml", text, headers={"Content-Type": "application/yaml"})
    assert not report["valid"] and {item["file"] for item in report["diagnostics"]} == {"a.yaml"}
    assert server.api("GET", "/v1/agents")["data"] == []
    for spec in ({"command": "x", "model": "smart"}, {"image": "nginx"}, {"command": "x", "net": ["example.com"]}):
        server.put("bad", spec, expect=400)
    server.put("bad", {"command": "x", "workdir": "sha256:" + "0" * 64}, expect=400)


def test_listings_are_paged_without_gap_or_duplicate(server):
    server.deploy("bot", concurrency=64)
    ids = [server.call("bot", f"/do/{number}", "POST").headers["Gantry-Request-Id"] for number in range(23)]
    seen, after = [], None
    for size in (10, 10, 3):
        page = server.api("GET", "/v1/requests?limit=10" + (f"&after={after}" if after else ""))
        assert len(page["data"]) == size
        seen += [row["id"] for row in page["data"]]
        after = page["next"]
    assert after is None
    assert seen == ids[::-1], "newest first"
    assert not {"request", "response", "attempt_log"} & set(page["data"][0])
    assert server.requests(agent="nobody") == []
    assert len(server.requests(status="completed")) == 23
    for query in ("limit=0", "limit=1001", "limit=x", "after=x", "status=done"):
        problem(server.request("GET", f"/v1/requests?{query}"), 400, "invalid")

    for name in ("a1", "a2", "a3"):
        server.deploy(name, replicas=0, wait=False)
    names, after = [], None
    while True:
        page = server.api("GET", "/v1/agents?limit=2" + (f"&after={after}" if after else ""))
        names += [agent["name"] for agent in page["data"]]
        after = page["next"]
        if not after:
            break
    assert names == ["a1", "a2", "a3", "bot"]
    assert "spec" not in page["data"][0]
    assert [agent["name"] for agent in server.api("GET", "/v1/agents?status=running")["data"]].count("bot") == 1


def test_status_and_doctor_tell_what_is(server):
    server.deploy("bot")
    server.call("bot", "/do/a", "POST")
    status = wait_for(lambda: (found := server.api("GET", "/v1/status"))["requests"]["completed"] == 1 and found, 20)
    assert (status["url"], status["pid"], status["data_dir"]) == (server.url, server.pid, str(server.data))
    assert status["agents"] == {"total": 1, "running": 1, "degraded": 0, "stopped": 0}
    assert status["instances"] == {"total": 1, "ready": 1}
    assert status["journal"]["writable"] and status["journal"]["durable_seq"] > 0 and status["rss_bytes"] > 1 << 20
    checks = {check["name"]: check["status"] for check in server.api("GET", "/v1/doctor")["checks"]}
    assert checks["sandbox"] == checks["journal"] == checks["seccomp"] == "ok"
    storage = server.api("GET", "/v1/doctor/storage")
    assert storage["total_bytes"] == sum(row["bytes"] for row in storage["data"]) and storage["free_bytes"] > 0
    version = server.api("GET", "/v1/version")
    assert re.match(r"\d+\.\d+\.\d+", version["version"]) and set(version) == {"version", "commit", "build", "journal_format"}


def test_agent_in_full_has_the_fields_that_clients_rely_on(server):
    deployed = server.deploy("bot", replicas=2)
    assert deployed["result"] == "created"
    agent = server.agent("bot")
    assert {"id", "name", "scope", "labels", "kind", "status", "reason", "replicas", "ready", "revision", "revision_number", "port", "public", "created_at",
            "updated_at", "restarts", "pending", "processing", "spec", "instances"} <= set(agent)  # fmt: skip
    assert (agent["scope"], agent["kind"], agent["revision_number"], agent["ready"]) == ("default/default/dev", "command", 1, 2)
    assert sorted(instance["replica"] for instance in agent["instances"]) == [0, 1]
    assert agent["id"].startswith("agt_") and agent["revision"].startswith("rev_") and agent["instances"][0]["id"].startswith("ins_")


def test_shutdown_drains_and_stops(server, pool):
    server.deploy("bot")
    held = pool.submit(server.call, "bot", "/hold/a", "POST")
    wait_for(lambda: server.requests(agent="bot", status="processing"), 20)
    assert server.api("POST", "/v1/server/shutdown", expect=202)
    wait_for(lambda: not ready(server), 20, "no new callers are taken")
    assert server.process.wait(60) == 0
    reply = held.exception(60) or held.result()
    assert not (hasattr(reply, "status") and reply.status == 200), "nobody has released it"
    server.process.stdout.close()
    server.start()
    server.wait_ready("bot")
    wait_for(lambda: server.call("bot", "/release/a", "POST") and server.requests(agent="bot", status="completed"), 40)


def ready(server):
    try:
        return server.request("GET", "/readyz", timeout=5).status == 200
    except OSError:
        return False


@pytest.mark.parametrize("sent, status", [
    (b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"POST /v1/validate HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/validate HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n", 400), (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
])  # fmt: skip
def test_a_request_that_could_be_read_in_two_ways_is_refused(server, sent, status):
    with Connection(server.url, timeout=20) as connection:
        connection.send(sent)
        assert connection.read_answer().status == status
    assert server.request("GET", "/healthz", key=None).status == 200


def test_a_body_above_the_limit_is_refused(make_server):
    server = make_server(environment={"GANTRY_REQUEST_BODY_LIMIT": "1Mi"}).start()
    server.deploy("bot")
    assert server.call("bot", "/do/a", "POST", b"x" * (1 << 20)).status == 200
    with Connection(server.url, timeout=20) as connection:
        fields = [("Host", "x"), ("Authorization", f"Bearer {server.key}"), ("Content-Length", str((1 << 20) + 1)), ("Expect", "100-continue")]
        connection.send(head("POST", "/agent/bot/do/b", fields))
        assert connection.read_head().status == 413
    assert [row["target"] for row in server.requests()] == ["/do/a"]


def test_what_an_operation_does_not_take_is_refused_and_not_ignored(server):
    server.deploy("bot")
    for method, path, body, word in [
        ("GET", "/v1/requests?foo=zzz", None, "foo"), ("GET", "/v1/status?verbose=1", None, "verbose"),
        ("POST", "/v1/agents/bot/stop", "{bad", "body"), ("POST", "/v1/agents/bot/restart", '{"force": true}', "body"),
        ("DELETE", "/v1/agents/bot?force=true", None, "force"),
    ]:  # fmt: skip
        told = problem(server.request(method, path, body), 400, "invalid")
        assert word in told["message"], (path, told)
    assert "agent" in problem(server.request("GET", "/v1/requests?agnt=bot"), 400, "invalid")["hint"]
    assert server.agent("bot")["status"] == "running"
    assert server.request("POST", "/v1/agents/bot/stop?wait=30s", "{}").status == 200
