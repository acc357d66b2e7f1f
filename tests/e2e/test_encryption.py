"""Encryption at rest: what callers and agents said is not readable on disk, and keys change while requests flow."""
import base64
import contextlib
import hashlib
import http.client
import itertools
import os
import pathlib
import random
import sqlite3
import threading
import time

from gantry_server import wait_for

IN_HEADER, IN_BODY, IN_BLOB = b"marker-in-a-header", b"marker-in-a-small-body", b"marker-in-a-large-body"
MARKERS = (IN_HEADER, IN_BODY, IN_BLOB)
LARGE = IN_BLOB + os.urandom(200_000) + IN_BLOB


def make_key(home, name):
    path = pathlib.Path(home) / name
    path.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    path.chmod(0o600)
    return path


def use_key(server, path):
    """For the next start."""
    server.environment["GANTRY_ENCRYPTION_KEY_FILE"] = str(path)
    return server


def files_with(server, marker):
    """Every file of the data directory that holds it."""
    found = []
    for path in server.data.rglob("*"):
        if path.is_file() and not path.is_symlink() and marker in path.read_bytes():
            found.append(str(path.relative_to(server.data)))
    return found


def leave_traces(server):
    """Requests and answers with the markers in headers and bodies; {request id: the body of its answer}."""
    server.deploy("echo", "echo.py")
    answers = {}
    for path, body in (("/say", IN_BODY), ("/mirror", IN_BODY), ("/mirror", LARGE)):
        reply = server.call("echo", path, "POST", body, {"X-Marker": IN_HEADER.decode()})
        assert reply.status == 200, reply
        answers[reply.headers["Gantry-Request-Id"]] = reply.body
    # One that waits: a checkpoint holds it too.
    server.verb("echo", "stop")
    waiting = server.call("echo", "/mirror", "POST", IN_BODY, {"X-Marker": IN_HEADER.decode()})
    assert waiting.status == 202
    return answers


def check_traces(server, answers):
    for request_id, body in answers.items():
        assert server.request("GET", f"/v1/requests/{request_id}/response").body == body


def refusal(server):
    """Starts a server that must not come up; its exit code and what it said."""
    before = server.log_path.stat().st_size
    code = server.spawn().wait(60)
    server.process.stdout.close()
    return code, server.log_path.read_bytes()[before:].decode()


def test_without_a_key_everything_is_readable(server):
    leave_traces(server)
    server.stop()
    for marker in MARKERS:
        assert files_with(server, marker), f"this test cannot find {marker}"


def test_with_a_key_nothing_is_readable(make_server, home):
    server = use_key(make_server(), make_key(home, "master.key")).start()
    answers = leave_traces(server)
    for marker in MARKERS:
        assert files_with(server, marker) == [], "while the server runs"
    server.stop()
    for marker in MARKERS:
        assert files_with(server, marker) == [], "after it was stopped"
    server.start()
    check_traces(server, answers)
    server.kill9()
    server.start()
    check_traces(server, answers)
    server.verb("echo", "start")
    wait_for(lambda: not server.requests(status="pending"), 60, "the request that waited is finished")
    server.kill9()
    for marker in MARKERS:
        assert files_with(server, marker) == [], "after it was killed"


def test_a_wrong_key_or_none_is_refused_with_a_clear_error(make_server, home):
    right, wrong = make_key(home, "right.key"), make_key(home, "wrong.key")
    server = use_key(make_server(), right).start()
    answers = leave_traces(server)
    fingerprint = server.api("GET", "/v1/encryption")["fingerprint"]
    server.stop()

    code, said = refusal(use_key(server, wrong))
    assert code == 4 and "GR1001" in said and "does not open this data directory" in said and fingerprint in said, said
    del server.environment["GANTRY_ENCRYPTION_KEY_FILE"]
    code, said = refusal(server)
    assert code == 4 and "GR1002" in said and "no key is configured" in said, said
    right.chmod(0o644)
    code, said = refusal(use_key(server, right))
    assert code == 7 and "GR1003" in said and f"chmod 600 {right}" in said, said
    for key in (right, wrong):
        assert key.read_text().strip() not in server.log_path.read_text()

    right.chmod(0o600)
    server.start()
    check_traces(server, answers)


def test_encryption_can_begin_in_a_directory_that_holds_data(make_server, home):
    server = make_server().start()
    answers = leave_traces(server)
    server.stop()
    use_key(server, make_key(home, "master.key")).start()
    check_traces(server, answers)
    server.verb("echo", "start")
    secret = b"said after encryption began"
    reply = server.call("echo", "/mirror", "POST", secret)
    assert reply.body == secret
    server.stop()
    assert files_with(server, secret) == []
    server.start()
    check_traces(server, {**answers, reply.headers["Gantry-Request-Id"]: secret})


def test_the_command_line_shows_and_rotates_keys(make_server, home):
    server = use_key(make_server(), make_key(home, "first.key")).start()
    second = make_key(home, "second.key")
    before = server.cli_json("encryption", "status")
    assert before["enabled"] and before["generation"] == 1
    assert server.cli_json("encryption", "rotate")["new_master"] is False
    done = server.cli("encryption", "rotate", "--new-key-file", second.name, directory=home)
    assert done.returncode == 0 and f"gantry config set encryption_key_file {second}" in done.stderr, done
    after = server.cli_json("encryption", "status")
    assert after["generation"] == 2 and after["fingerprint"] != before["fingerprint"]
    assert after["scopes"][0]["data_keys"] == 3
    again = server.cli("encryption", "rotate", "--new-key-file", second, directory=home)
    assert again.returncode == 7 and "GR1003" in again.stderr, again
    server.stop()
    use_key(server, second).start()


class Load:
    """Callers that send one request after the other; what they were told is in `answers`."""

    def __init__(self, server, callers=4):
        self.server, self.answers, self.surprises, self.ending = server, {}, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(callers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(120)

    def run(self, number):
        for count in itertools.count():
            if self.ending.is_set():
                return
            body = f"caller {number} call {count}".encode() * (1 if count % 5 else 10_000)
            try:
                # A server is ready a moment before its instances are.
                reply = self.server.call("echo", "/mirror", "POST", body, headers={"Prefer": "wait=60"})
            except (OSError, http.client.HTTPException):
                self.ending.wait(0.02)
                continue
            if reply.status == 200 and reply.body == body:
                self.answers[reply.headers["Gantry-Request-Id"]] = body
            elif reply.status != 503:
                self.surprises.append(reply)


def test_rotation_under_load_loses_nothing(make_server, home):
    keys = [make_key(home, f"{number}.key") for number in range(9)]
    server = use_key(make_server(), keys[0]).start()
    server.deploy("echo", "echo.py", concurrency=8)
    with Load(server) as load:
        for key in keys[1:]:
            target = len(load.answers) + 20
            assert server.api("POST", "/v1/encryption/rotate", {"new_key_file": str(key)})["new_master"]
            assert server.api("POST", "/v1/encryption/rotate", {})["made"] == 1
            wait_for(lambda target=target: len(load.answers) >= target, 60, "callers get answers")
    assert load.surprises == []
    assert all(row["status"] == "completed" for row in server.requests())
    use_key(server, keys[-1])
    server.restart()
    check_traces(server, load.answers)


def test_a_kill_during_a_rotation_leaves_one_master_key_valid(make_server, home):
    chance = random.Random(int(os.environ.get("GANTRY_SEED", "7")))
    valid = make_key(home, "0.key")
    server = use_key(make_server(), valid).start()
    server.deploy("echo", "echo.py", concurrency=8)
    with Load(server, callers=2) as load:
        changed = 0
        for number in range(1, 13):
            following = make_key(home, f"{number}.key")
            target = len(load.answers) + 5
            wait_for(lambda target=target: len(load.answers) >= target, 60, "callers get answers")
            call = threading.Thread(target=rotate_and_die, args=(server, following))
            call.start()
            # The instant of the kill is what this test is about; this is no synchronisation.
            time.sleep(chance.random() * 0.01)
            server.kill9()
            call.join(60)
            try:
                use_key(server, following).start()
                valid, changed = following, changed + 1
            except AssertionError:
                assert "GR1001" in server.log_tail(5), server.log_tail()
                use_key(server, valid).start()
    print(f"the new key was valid after {changed} of 12 kills")
    assert load.surprises == []
    check_traces(server, load.answers)


def rotate_and_die(server, key):
    try:
        server.request("POST", "/v1/encryption/rotate", f'{{"new_key_file": "{key}"}}')
    except (OSError, http.client.HTTPException):
        pass


def add_key(server, name):
    """A key that is not a root key, put into the store of a server that is stopped; its token."""
    token = "gk_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    with contextlib.closing(sqlite3.connect(server.data / "store.db")) as store, store:
        (scope,) = store.execute("SELECT scope FROM identity_keys").fetchone()
        row = (scope, os.urandom(16), name, "key", hashlib.sha256(token.encode()).digest(), time.time_ns() // 1_000_000)
        store.execute("INSERT INTO identity_keys (scope, id, name, kind, hash, created_at) VALUES (?, ?, ?, ?, ?, ?)", row)
    return token


def test_only_root_keys_rotate(make_server, home):
    server = use_key(make_server(), make_key(home, "first")).start()
    server.stop()
    token = add_key(server, "ci")
    server.start()
    before = server.api("GET", "/v1/encryption")
    root, server.key = server.key, token
    assert server.api("GET", "/v1/encryption") == before, "the key works"
    refused = server.api("POST", "/v1/encryption/rotate", {}, expect=403)
    assert refused["code"] == "denied" and refused["message"] == "the key 'ci' is not a root key" and refused["hint"]
    assert server.api("GET", "/v1/encryption") == before
    server.key = root
    assert server.api("POST", "/v1/encryption/rotate", {})["made"] == 1


def test_doctor_says_whether_data_is_encrypted(make_server, home):
    def line(server, name="encryption"):
        (found,) = [one for one in server.api("GET", "/v1/doctor")["checks"] if one["name"] == name]
        return found

    server = make_server().start()
    plain = line(server)
    assert plain["status"] == "ok" and plain["detail"].startswith("off") and "encryption_key_file" in plain["detail"]
    assert line(server, "sandbox")["detail"].startswith("bubblewrap, started")
    assert "'requests' is " in line(server, "journal")["detail"] and "'webhooks' is " in line(server, "journal")["detail"]
    server.stop()
    use_key(server, make_key(home, "first")).start()
    status = server.api("GET", "/v1/encryption")
    assert line(server)["detail"] == (
        f"on with master key {status['fingerprint']}, number 1; scopes sealed: {len(status['scopes'])}")
