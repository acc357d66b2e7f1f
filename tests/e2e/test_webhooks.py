"""Webhooks: every status change is told, signed, at least once, whatever dies; and nothing inside is reachable."""
import base64
import collections
import hashlib
import hmac
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gantry_server import wait_for

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs/guides/webhooks.md"
LOOPBACK = {"GANTRY_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}


def signature_of(secret, call):
    """The signature as the specification has it, by Python's own hmac."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    content = f"{call.id}.{call.timestamp}.".encode() + call.body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


class Call:
    def __init__(self, handler, body):
        self.id, self.timestamp = handler.headers["webhook-id"], handler.headers["webhook-timestamp"]
        self.signatures = (handler.headers["webhook-signature"] or "").split(" ")
        self.content_type, self.path, self.body = handler.headers["Content-Type"], handler.path, body
        self.message = json.loads(body)

    @property
    def request(self):
        return self.message["data"]["request"]


class Receiver:
    """Notes every call; answers with the next status of `script`, then with 204. With an SSL context by https."""

    def __init__(self, tls=None):
        self.calls, self.script, self.lock = [], collections.deque(), threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                call = Call(self, self.rfile.read(int(self.headers["Content-Length"])))
                with receiver.lock:
                    receiver.calls.append(call)
                    status = receiver.script.popleft() if receiver.script else 204
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.server.handle_error = lambda *_: None  # callers may leave in the middle of a handshake
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def seen(self, count=1, seconds=60):
        wait_for(lambda: len(self.calls) >= count, seconds, f"{count} calls have come")
        return self.calls

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def server(make_server):
    return make_server(LOOPBACK).start()


def make(server, receiver, **fields):
    return server.api("POST", "/v1/webhooks", {"name": "ops", "url": receiver.url, **fields}, expect=201)


def deliveries(server, name="ops"):
    return server.api("GET", f"/v1/webhooks/{name}/deliveries?limit=1000")["data"]


def finished(server, count, name="ops"):
    def look():
        found = deliveries(server, name)
        return len(found) >= count and all(one["status"] in ("completed", "failed") for one in found) and found

    return wait_for(look, 60, f"{count} deliveries are finished")


def test_a_completed_request_is_told_and_signed(server, receiver):
    made = make(server, receiver)
    assert made["secret"].startswith("whsec_") and made["events"] == ["request.completed", "request.failed"]
    server.deploy("bot")
    reply = server.call("bot", "/do/a", "POST", "secret body", {"X-Private": "1"})
    assert reply.status == 200
    (call,) = receiver.seen(1)
    assert call.content_type == "application/json" and call.path == "/hook"
    assert call.message["type"] == "request.completed"
    assert call.request["id"] == reply.headers["Gantry-Request-Id"]
    assert (call.request["agent"], call.request["method"], call.request["target"]) == ("bot", "POST", "/do/a")
    assert (call.request["status"], call.request["response_status"], call.request["attempts"]) == ("completed", 200, 1)
    assert call.request["ended_at"] >= call.request["created_at"] and call.request["reason"] is None
    assert abs(int(call.timestamp) - time.time()) < 60
    assert call.signatures == [signature_of(made["secret"], call)]
    assert b"secret body" not in call.body and b"Private" not in call.body
    (delivery,) = finished(server, 1)
    assert (delivery["id"], delivery["event"], delivery["request_id"]) == (call.id, "request.completed", call.request["id"])
    shown = server.show(call.id)
    assert (shown["agent"], shown["response_status"], shown["request"]["body"]["text"].encode()) == ("webhook:ops", 204, call.body)
    # Nothing shows the secret again.
    everything = json.dumps([server.api("GET", "/v1/webhooks"), server.api("GET", "/v1/webhooks/ops"), shown])
    assert "whsec_" not in everything and made["secret"].removeprefix("whsec_") not in everything + server.log_tail(10_000)


def test_every_status_change_can_be_told(server, receiver):
    make(server, receiver, events=["request.accepted", "request.processing", "request.retrying", "request.completed"], agent="bot")
    server.deploy("bot")
    server.deploy("other")
    assert server.call("other", "/do/x", "POST").status == 200
    assert server.call("bot", "/die/k?until=2", "POST", headers={"Prefer": "wait=30"}).status == 200
    expected = {("request.accepted", 1), ("request.processing", 1), ("request.retrying", 1), ("request.processing", 2), ("request.completed", 2)}
    calls = receiver.seen(5)
    assert {(call.message["type"], max(1, call.request["attempts"])) for call in calls} == expected
    assert {call.request["agent"] for call in calls} == {"bot"} and len({call.id for call in calls}) == len(calls) == 5


def test_a_receiver_that_fails_is_called_again_with_the_same_id(server, receiver):
    made = make(server, receiver)
    receiver.script.extend([500, 302])
    server.deploy("bot")
    assert server.call("bot", "/do/a", "POST").status == 200
    calls = receiver.seen(3)
    assert len({call.id for call in calls}) == 1 and len({call.body for call in calls}) == 1
    assert all(call.path == "/hook" for call in calls)
    assert all(call.signatures == [signature_of(made["secret"], call)] for call in calls)
    (delivery,) = finished(server, 1)
    assert (delivery["status"], delivery["attempts"]) == ("completed", 3)
    log = server.show(delivery["id"])["attempt_log"]
    assert "500" in log[0]["detail"] and "redirects are not followed" in log[1]["detail"]


def test_kill_in_the_middle_loses_and_invents_nothing(server, receiver, pool):
    made = make(server, receiver)
    server.deploy("bot", concurrency=4)
    receiver.script.extend([500, 503] * 5)

    def send(key):
        try:
            server.call("bot", f"/do/{key}?ms=20", "POST", timeout=30)
        except OSError:
            pass  # the server died under it

    # Right behind a completion its delivery is not yet made; a little later some are made and others under way.
    for round_number, completions in enumerate((1, 3, 12, 1)):
        before = len(server.requests(agent="bot", status="completed"))
        sent = [pool.submit(send, f"r{round_number}k{n}") for n in range(40)]
        want = before + completions
        wait_for(lambda: len(server.requests(agent="bot", status="completed")) >= want, 60, "requests are completed")
        server.kill9()
        for one in sent:
            one.result(60)
        server.start()
        server.wait_ready("bot")
    wait_for(lambda: all(one["status"] in ("completed", "failed") for one in server.requests(agent="bot")), 60, "all are finished")
    ended = {one["id"] for one in server.requests(agent="bot")}
    assert len(ended) > 30
    found = finished(server, len(ended))
    told = collections.defaultdict(set)
    for call in receiver.calls:
        told[call.request["id"]].add(call.id)
        assert call.signatures == [signature_of(made["secret"], call)]
    assert set(told) == ended
    assert all(len(ids) == 1 for ids in told.values()), "a second delivery was made"
    assert len(found) == len(ended) and {one["request_id"] for one in found} == ended


def test_rotation_sends_two_signatures_until_the_grace_is_over(server, receiver):
    old = make(server, receiver)["secret"]
    rotated = server.api("POST", "/v1/webhooks/ops/rotate", {"grace": "1h"}, expect=200)
    assert rotated["secret"] != old and rotated["old_secret_until"]
    server.restart()
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    call = receiver.seen(1)[0]
    assert call.signatures == [signature_of(rotated["secret"], call), signature_of(old, call)]
    last = server.api("POST", "/v1/webhooks/ops/rotate", {"grace": "0"}, expect=200)
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    call = receiver.seen(2)[1]
    assert call.signatures == [signature_of(last["secret"], call)]


def test_addresses_inside_are_refused_unless_they_are_listed(make_server, receiver):
    server = make_server().start()
    inside = ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "[fe80::1]", "[fd00::1]", "224.0.0.1")
    for host in inside:
        problem = server.api("POST", "/v1/webhooks", {"name": "ops", "url": f"http://{host}:{receiver.port}/hook"}, expect=403)
        assert problem["id"] == "GR1102" and "public internet" in problem["message"] and "webhook_allowed_hosts" in problem["hint"]
    refused = server.cli("webhooks", "add", "ops", receiver.url)
    assert refused.returncode == 4 and "GR1102" in refused.stderr and refused.stderr.splitlines()[-1].startswith("hint: gantry config set webhook_allowed_hosts")
    assert server.api("GET", "/v1/webhooks")["data"] == [] and receiver.calls == []


def test_a_hostname_that_leads_inside_is_not_connected_to(make_server, receiver):
    # A network in the list lets names through until they are resolved.
    server = make_server({"GANTRY_WEBHOOK_ALLOWED_HOSTS": "*,10.77.0.0/16"}).start()
    server.api("POST", "/v1/webhooks", {"name": "ops", "url": f"http://localhost:{receiver.port}/hook"}, expect=201)
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    waiting = wait_for(lambda: (one := deliveries(server)[0])["attempts"] >= 1 and one["reason"] and one, 30, "it was tried")
    assert "localhost is " in waiting["reason"] and "public internet" in waiting["reason"]
    assert receiver.calls == []


class Authority:
    """A certificate authority, and a receiver's certificate of it for 127.0.0.1; all made by `openssl`."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.file = folder / "authority.pem"
        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.run(*new, "-x509", "-days", "2", "-subj", "/CN=Our authority", "-keyout", "authority.key", "-out", self.file)
        self.run(*new, "-subj", "/CN=receiver", "-keyout", "receiver.key", "-out", "receiver.csr")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        self.run("x509", "-req", "-days", "2", "-in", "receiver.csr", "-CA", self.file, "-CAkey", "authority.key",
                 "-CAcreateserial", "-extfile", "names", "-out", "receiver.pem")  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "receiver.pem", folder / "receiver.key")

    def run(self, *words):
        subprocess.run(["openssl", *map(str, words)], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def tls_receiver(authority):
    one = Receiver(authority.context)
    yield one
    one.close()


def test_https_is_called_when_its_authority_is_trusted(make_server, authority, tls_receiver):
    server = make_server({**LOOPBACK, "GANTRY_WEBHOOK_CA_FILE": str(authority.file)}).start()
    made = make(server, tls_receiver)
    server.deploy("bot")
    assert server.call("bot", "/do/a", "POST", "x").status == 200
    (call,) = tls_receiver.seen(1)
    assert call.signatures == [signature_of(made["secret"], call)]
    (delivery,) = finished(server, 1)
    assert (delivery["status"], delivery["response_status"]) == ("completed", 204)


def test_https_that_nobody_vouches_for_gets_nothing_and_the_log_says_why(server, tls_receiver):
    make(server, tls_receiver)
    server.api("POST", "/v1/webhooks/ops/test", {}, expect=202)

    def tried():
        (delivery,) = deliveries(server)
        return [one for one in server.show(delivery["id"])["attempt_log"] if one["detail"]]

    (attempt, *_) = wait_for(tried, 60, "an attempt has failed")
    assert attempt["outcome"] == "refused"
    assert "TLS handshake with 127.0.0.1: certificate verify failed" in attempt["detail"]
    assert tls_receiver.calls == []


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_bad_file_of_authorities_stops_the_start_with_a_reason(make_server, tmp_path, content):
    file = tmp_path / "authority.pem"
    if content:
        file.write_text(content)
    server = make_server({**LOOPBACK, "GANTRY_WEBHOOK_CA_FILE": str(file)})
    server.spawn()
    assert server.process.wait(60) != 0
    server.process.stdout.close()
    log = server.log_path.read_text()
    assert "GR0701" in log and f"webhook_ca_file: read the trusted certificates {file}" in log, log


def test_a_bad_allow_list_stops_the_start_with_a_reason(make_server):
    server = make_server({"GANTRY_WEBHOOK_ALLOWED_HOSTS": "http://example.com"})
    server.spawn()
    assert server.process.wait(60) != 0
    server.process.stdout.close()
    assert "webhook_allowed_hosts: 'http://example.com'" in server.log_tail()


def test_the_command_line_does_all_of_it(server, receiver):
    made = server.cli_json("webhooks", "add", "ops", receiver.url, "--event", "request.failed")
    assert made["events"] == ["request.failed"] and made["secret"].startswith("whsec_")
    assert [row["name"] for row in server.cli_json("webhooks", "list")] == ["ops"]
    assert "whsec_" not in server.cli("webhooks", "show", "ops").stdout
    tested = server.cli_json("webhooks", "test", "ops", "--wait", "30s")
    assert tested["status"] == "completed"
    call = receiver.seen(1)[0]
    assert call.message["type"] == "webhook.test" and call.id == tested["id"]
    replayed = server.cli_json("webhooks", "replay", "ops", call.id, "--wait", "30s")
    assert replayed["replay_of"] == call.id and receiver.seen(2)[1].id == call.id
    assert [row["event"] for row in server.cli_json("webhooks", "deliveries", "ops")] == ["webhook.test"] * 2
    rotated = server.cli_json("webhooks", "rotate", "ops", "--grace", "5m")
    assert rotated["secret"] != made["secret"]
    edited = server.cli_json("webhooks", "edit", "ops", "--event", "request.completed", "--agent", "bot", "--disable")
    assert (edited["events"], edited["agent"], edited["enabled"]) == (["request.completed"], "bot", False)
    refused = server.cli("webhooks", "test", "ops")
    assert refused.returncode == 5 and refused.stderr.splitlines()[-1] == "hint: gantry webhooks edit ops --enable"
    unknown = server.cli("webhooks", "show", "opps")
    assert unknown.returncode == 3 and unknown.stderr.splitlines()[-1] == "hint: did you mean `ops`?"
    assert server.cli("webhooks", "remove", "ops", "--yes").returncode == 0
    assert server.cli_json("webhooks", "list") == []


def test_wrong_input_is_refused_with_its_field(server, receiver):
    def refused(method, path, body):
        return server.api(method, path, body, expect=400)["message"]

    good = {"name": "ops", "url": receiver.url}
    assert refused("POST", "/v1/webhooks", {**good, "events": ["request.nothing"]}).startswith("events: 'request.nothing'")
    assert refused("POST", "/v1/webhooks", {**good, "events": []}).startswith("events:")
    assert refused("POST", "/v1/webhooks", {**good, "evnets": []}).startswith("evnets:")
    assert refused("POST", "/v1/webhooks", {**good, "url": "ftp://example.com/"}).startswith("url:")
    assert refused("POST", "/v1/webhooks", {**good, "name": "Ops"}).startswith("name:")
    assert refused("POST", "/v1/webhooks", {"name": "ops"}).startswith("url:")
    make(server, receiver)
    assert server.api("POST", "/v1/webhooks", good, expect=409)["id"] == "GR1103"
    assert refused("PATCH", "/v1/webhooks/ops", {"enabled": "yes"}).startswith("enabled:")
    assert refused("POST", "/v1/webhooks/ops/rotate", {"grace": "31d"}).startswith("grace:")
    assert server.api("POST", "/v1/webhooks/other/test", expect=404)["id"] == "GR1101"


def test_a_receiver_that_is_gone_disables_its_webhook(server, receiver):
    make(server, receiver)
    receiver.script.append(410)
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    shown = wait_for(lambda: not (one := server.api("GET", "/v1/webhooks/ops"))["enabled"] and one, 30, "it is disabled")
    assert "410" in shown["disabled_reason"]
    assert server.api("POST", "/v1/webhooks/ops/test", expect=409)["id"] == "GR1105"
    server.api("PATCH", "/v1/webhooks/ops", {"enabled": True})
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    receiver.seen(2)


def test_a_removed_webhook_leaves_dead_letters(server, receiver):
    make(server, receiver)
    receiver.script.append(500)
    server.api("POST", "/v1/webhooks/ops/test", expect=202)
    call = receiver.seen(1)[0]
    wait_for(lambda: server.show(call.id)["status"] == "pending", 30, "it waits for its next attempt")
    server.api("DELETE", "/v1/webhooks/ops", expect=200)
    shown = server.wait_finished(call.id)
    assert (shown["status"], shown["reason"]) == ("failed", "the webhook was removed")
    copy = server.api("POST", f"/v1/requests/{call.id}/replay", expect=202)["request_id"]
    assert server.wait_finished(copy)["status"] == "failed"
    # After a restart, too: nobody is left who could take it.
    server.restart()
    assert len(receiver.calls) == 1


def test_the_receiver_of_the_guide_takes_what_is_ours_and_nothing_else(server, home):
    (program,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = server.api("POST", "/v1/webhooks", {"name": "ops", "url": f"http://127.0.0.1:{port}/"}, expect=201)
    environment = {**os.environ, "WEBHOOK_SECRET": made["secret"], "PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        # Its first call may come before it listens: then it is tried again.
        tested = server.cli_json("webhooks", "test", "ops", "--wait", "60s")
        assert tested["response_status"] == 204
        assert process.stdout.readline().split() == ["webhook.test", tested["id"]]
        server.api("POST", "/v1/webhooks/ops/rotate", {"grace": "0"}, expect=200)
        refused = server.api("POST", "/v1/webhooks/ops/test", expect=202)["delivery_id"]
        shown = wait_for(lambda: (one := server.show(refused))["attempt_log"] and one["attempt_log"][0]["detail"] and one, 30, "it was refused")
        assert "401" in shown["attempt_log"][0]["detail"]
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()
