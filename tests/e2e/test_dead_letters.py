"""Dead letters: edited, requeued, purged and exported; nothing is lost or removed unseen, whatever dies."""
import base64
import json
import os
import pathlib
import pty
import select
import signal
import stat
import subprocess
import time

import pytest

from gantry_server import binary, wait_for

ONE_TRY = {"retry": {"policy": "fixed", "max": 1, "initial": "10ms", "cap": "10ms"}}


@pytest.fixture
def bot(server):
    server.deploy("bot", timeout="700ms", persistence=ONE_TRY)
    return server


def bury(server, key, body=b"body", agent="bot", headers=None):
    """A request whose work never ends in time: a dead letter."""
    reply = server.call(agent, f"/hold/{key}", "POST", body, headers={"Prefer": "wait=60", **(headers or {})})
    request_id = reply.headers["Gantry-Request-Id"]
    wait_for(lambda: server.api("GET", f"/v1/requests?text={request_id}")["data"][0]["status"] == "failed", 60, f"{key} is a dead letter")
    return request_id


def status(server, request_id):
    return next((row["status"] for row in server.requests(text=request_id)), None)


def audit(server, **query):
    fields = "&".join(f"{key}={value}" for key, value in query.items())
    return server.api("GET", f"/v1/audit?{fields}")["data"]


def test_a_dead_letter_is_edited_and_completes_under_the_same_id(bot):
    request_id = bury(bot, "a", b"the old body", headers={"X-Keep": "k", "X-Go": "g"})
    edit = {"target": "/do/fixed", "headers": {"set": [["X-New", "n"]], "remove": ["x-go"]}, "body": {"text": "the new one"}}
    answer = bot.api("POST", f"/v1/requests/{request_id}/requeue", edit, expect=202)
    assert (answer["id"], answer["target"]) == (request_id, "/do/fixed")
    assert answer["attempts"] in (1, 2), "the next one may have begun"
    shown = bot.wait_finished(request_id)
    assert (shown["status"], shown["attempts"], shown["response_status"]) == ("completed", 2, 200), shown
    said = json.loads(shown["response"]["body"]["text"])
    assert (said["key"], said["bytes"], said["attempt"]) == ("fixed", len("the new one"), "2")
    names = {name.lower(): value for name, value in shown["request"]["headers"]}
    assert names["x-keep"] == "k" and names["x-new"] == "n" and "x-go" not in names
    assert shown["original"]["target"] == "/hold/a" and shown["original"]["body"]["text"] == "the old body"
    (entry,) = audit(bot, subject=request_id, action="request.requeue")
    told = json.dumps(entry)
    assert entry["principal"] == "root" and "X-New" in told and "to_sha256" in told
    assert "the new one" not in told and "the old body" not in told and bot.key not in told
    assert [row["id"] for row in bot.requests(agent="bot", path="/do/fixed")] == [request_id]
    assert bot.api("GET", "/v1/status")["requests"]["failed"] == 0


def test_a_kill_right_after_a_requeue_loses_nothing(bot):
    ids = [bury(bot, f"k{n}") for n in range(4)]
    bot.verb("bot", "stop")
    for n, request_id in enumerate(ids):
        bot.api("POST", f"/v1/requests/{request_id}/requeue", {"target": f"/do/k{n}"}, expect=202)
        bot.restart()
        assert status(bot, request_id) == "pending"
    bot.verb("bot", "start")
    for request_id in ids:
        assert bot.wait_finished(request_id)["status"] == "completed"
    # And right after a purge.
    for request_id in ids:
        bot.api("DELETE", f"/v1/requests/{request_id}")
        bot.restart()
        assert bot.request("GET", f"/v1/requests/{request_id}").status == 404
        assert [entry["action"] for entry in audit(bot, subject=request_id)][0] == "request.purge"


def test_of_many_requeues_at_once_one_wins(bot, pool):
    request_id = bury(bot, "race")
    bot.verb("bot", "stop")
    replies = list(pool.map(lambda _: bot.request("POST", f"/v1/requests/{request_id}/requeue"), range(30)))
    assert sorted(reply.status for reply in replies) == [202] + [409] * 29
    assert {reply.json()["id"] for reply in replies if reply.status == 409} == {"GR0414"}
    assert len(audit(bot, subject=request_id, action="request.requeue")) == 1


def test_many_go_out_at_the_rate(bot):
    ids = [bury(bot, f"m{n}") for n in range(5)]
    other = bury(bot, "other")
    for n in range(5):
        bot.call("bot", f"/release/m{n}", "POST", b"")
    done = bot.cli("requests", "requeue", "--path", "/hold/m*", "--rate", "4/s", "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["requeued"], result["skipped"]) == (5, 0), result
    for request_id in ids:
        bot.wait_finished(request_id)
    started = [time.strptime(bot.show(i)["attempt_log"][1]["started_at"][:19], "%Y-%m-%dT%H:%M:%S") for i in ids]
    fraction = [float("0." + bot.show(i)["attempt_log"][1]["started_at"][20:23]) for i in ids]
    times = [time.mktime(whole) + part for whole, part in zip(started, fraction)]
    assert times == sorted(times), "the oldest first"
    # Spaced by a quarter of a second: none before its time.
    assert all(later - times[0] >= 0.25 * n - 0.05 for n, later in enumerate(times)), times
    assert status(bot, other) == "failed"


def test_a_purge_by_condition_leaves_entries_and_the_rest(bot):
    dead = [bury(bot, f"p{n}") for n in range(3)]
    done = bot.call("bot", "/do/fine", "POST", b"x").headers["Gantry-Request-Id"]
    refused = bot.cli("requests", "purge", "--all")
    assert refused.returncode != 0 and "GR0802" in refused.stderr and "--yes" in refused.stderr
    purged = bot.cli_json("requests", "purge", "--all", "--agent", "bot", "--yes")
    assert purged["purged"] == 3, purged
    assert bot.requests(status="failed") == []
    assert status(bot, done) == "completed"
    for request_id in dead:
        assert audit(bot, subject=request_id)[0]["action"] == "request.purge"
        assert bot.request("GET", f"/v1/requests/{request_id}").status == 404
    listed = bot.cli_json("audit", "list", "--action", "request.purge")
    assert {row["subject"] for row in listed} == set(dead)


def test_reads_are_recorded_once_a_minute_and_listings_never(bot):
    request_id = bot.call("bot", "/do/read", "POST", b"x").headers["Gantry-Request-Id"]
    for _ in range(3):
        bot.show(request_id)
        bot.request("GET", f"/v1/requests/{request_id}/response")
        bot.requests()
    assert sorted(entry["action"] for entry in audit(bot, subject=request_id)) == ["request.read", "response.read"]


def test_an_export_reads_back_and_continues(bot, home):
    binary_body = bytes(range(256)) * 4
    kept = [bot.call("bot", f"/do/e{n}", "POST", binary_body if n == 3 else f"body {n}".encode()).headers["Gantry-Request-Id"] for n in range(7)]
    bot.call("bot", "/do/large", "POST", b"l" * 300_000)
    path = home / "out.jsonl"
    done = bot.cli("requests", "export", "--path", "/do/e*", "-f", path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == kept, "the oldest first"
    assert rows[2]["request"]["body"]["text"] == "body 2"
    assert base64.b64decode(rows[3]["request"]["body"]["base64"]) == binary_body
    assert json.loads(rows[0]["response"]["body"]["text"])["key"] == "e0" and rows[0]["attempt_log"][0]["outcome"] == "completed"
    done = bot.cli("requests", "export", "--path", "/do/e*", "--after", rows[3]["cursor"])
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == kept[4:]
    large = bot.cli("requests", "export", "--path", "/do/large")
    assert len(json.loads(large.stdout)["request"]["body"]["text"]) == 300_000
    assert audit(bot, action="requests.export")


def test_an_export_that_breaks_off_says_how_to_continue(bot, home):
    bodies = [os.urandom(200_000) for _ in range(4)]
    for n in range(120):
        bot.call("bot", f"/do/x{n}", "POST", bodies[n % 4])
    path = home / "out.jsonl"
    command = [binary(), "requests", "export", "--path", "/do/x*"]
    export = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=bot.environment, cwd=home, bufsize=0)
    # What is not read is not sent: the server goes away in the middle.
    first = export.stdout.readline()
    bot.kill9()
    rest, error = export.communicate(timeout=60)
    lines = (first + rest).splitlines()
    assert export.returncode != 0 and 0 < len(lines) < 120
    cursor = json.loads(lines[-1])["cursor"]
    assert f"--after {cursor}" in error.decode(), error.decode()
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    bot.start()
    done = bot.cli("requests", "export", "--path", "/do/x*", "--after", cursor, "-f", path)
    assert done.returncode == 0, done.stderr
    targets = [json.loads(line)["target"] for line in path.read_text().splitlines()]
    assert targets == [f"/do/x{n}" for n in range(120)]


def test_filters_of_the_list(bot):
    a = bury(bot, "alpha")
    b = bot.call("bot", "/do/beta?x=1", "POST", b"x", headers={"Idempotency-Key": '"key-17"'}).headers["Gantry-Request-Id"]
    listed = lambda *words: {row["id"] for row in bot.cli_json("requests", "list", *words)}
    assert listed() == {a, b}
    assert listed("--status", "failed") == {a}
    assert listed("--path", "/do/") == {b} and listed("--path", "/*/beta") == {b} and listed("--path", "/h?ld/*") == {a}
    assert listed("--idempotency-key", "key-17") == {b} and listed("--text", "KEY-17") == {b}
    assert listed("--older-than", "1h") == set() and listed("--newer-than", "1h") == {a, b}
    assert listed("--agent", "bot", "--text", a) == {a}
    assert listed("--reason", "nothing like this") == set()


def test_show_tells_what_differs_between_attempts(server):
    server.deploy("bot", persistence={"retry": {"policy": "fixed", "max": 3, "initial": "10ms", "cap": "10ms"}})
    reply = server.call("bot", "/die/d?until=3", "POST", b"x", headers={"Prefer": "wait=60"})
    text = server.cli("requests", "show", reply.headers["Gantry-Request-Id"]).stdout
    # An attempt that finds the instance gone already may be among them.
    assert "What differs" in text and "2 → 3: outcome " in text and " → completed; " in text, text


def test_watch_prints_changes_and_ends_with_130(bot):
    watch = subprocess.Popen([binary(), "requests", "watch", "--agent", "bot", "--interval", "50ms", "-o", "jsonl"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=bot.environment)  # fmt: skip
    lines = []

    def seen():
        ready, _, _ = select.select([watch.stdout], [], [], 0)
        if ready:
            lines.append(json.loads(watch.stdout.readline()))
        bot.call("bot", "/do/watched", "POST", b"x")
        return lines

    wait_for(seen, 30, "watch prints a line")
    assert lines[0]["agent"] == "bot" and lines[0]["status"] in ("pending", "processing", "completed")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130


def test_edit_opens_an_editor(bot, home):
    request_id = bury(bot, "edit", b'{"a": 1}')
    editor = home / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's|/hold/edit|/do/edited|; s|\"a\": 1|\"a\": 22|' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    refused = bot.cli("requests", "edit", request_id, environment={"EDITOR": str(editor)})
    assert refused.returncode != 0 and "GR0802" in refused.stderr

    def in_terminal(program):
        parent, child = pty.openpty()
        process = subprocess.Popen([binary(), "requests", "edit", request_id], stdin=child, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**bot.environment, "EDITOR": program}, text=True)  # fmt: skip
        out, error = process.communicate(timeout=60)
        os.close(parent), os.close(child)
        return process.returncode, out, error

    code, _, error = in_terminal("true")
    assert code == 0 and "nothing was changed" in error
    code, _, error = in_terminal("sed -i '/^POST/s/.*/nonsense/'")
    assert code != 0 and "GR0416" in error and "kept in" in error
    pathlib.Path(error.split("kept in ")[1].split()[0]).unlink()
    code, _, error = in_terminal(str(editor))
    assert code == 0, error
    shown = bot.wait_finished(request_id)
    assert (shown["status"], shown["target"], shown["request"]["body"]["text"]) == ("completed", "/do/edited", '{"a": 22}')


def test_edit_by_flags(bot):
    request_id = bury(bot, "flags", b"old")
    done = bot.cli("requests", "edit", request_id, "--path", "/do/flags", "-H", "X-A: 1", "--method", "PUT", "--body", "-", stdin="from stdin")
    assert done.returncode == 0, done.stderr
    shown = bot.wait_finished(request_id)
    assert (shown["status"], shown["method"], shown["request"]["body"]["text"]) == ("completed", "PUT", "from stdin")


def test_nonsense_gets_a_clear_error(bot):
    request_id = bury(bot, "n")
    path = f"/v1/requests/{request_id}/requeue"
    for edit, word in (
        ("[", "line 1"), ([], "object"), ({"method": 5}, "method"), ({"method": "A B"}, "A B"), ({"target": "x"}, "slash"),
        ({"target": "/a b"}, "space"), ({"headers": "x"}, "headers"), ({"headers": [["a"]]}, "headers"),
        ({"headers": {"sett": []}}, "sett"), ({"headers": {"set": [["X", "a\nb"]]}}, "control"),
        ({"headers": {"set": [["Gantry-Key", "x"]]}}, "Gantry-Key"), ({"body": {"base64": "%%"}}, "base64"), ({"body": 4}, "body"),
        ({"boby": "x"}, "boby"),
    ):  # fmt: skip
        reply = bot.request("POST", path, edit if isinstance(edit, str) else json.dumps(edit))
        problem = reply.json()
        assert (reply.status, problem["id"]) == (400, "GR0416") and word in json.dumps(problem), (edit, problem)
    for target, body, word in (
        ("/v1/requests/purge", {}, "all"), ("/v1/requests/requeue", {}, "all"), ("/v1/requests/purge", {"agnt": "x"}, "agnt"),
        ("/v1/requests/requeue", {"all": True, "rate": "fast"}, "rate"), ("/v1/requests/requeue", {"all": True, "rate": "-1/s"}, "rate"),
        ("/v1/requests/requeue", {"all": True, "limit": 0}, "limit"), ("/v1/requests/requeue", {"status": "completed"}, "status"),
        ("/v1/requests/purge", {"status": "pending"}, "status"), ("/v1/requests/purge", {"older_than": "soon"}, "older_than"),
        ("/v1/requests/purge", {"agent": 4}, "agent"), ("/v1/requests/purge", {"all": True, "after": "x"}, "after"),
    ):  # fmt: skip
        reply = bot.request("POST", target, json.dumps(body))
        assert reply.status == 400 and word in json.dumps(reply.json()), (target, body, reply)
    for query in ("status=odd", "older_than=x", "after=0", "after=-1", "limit=0", "all_queues=perhaps"):
        assert bot.request("GET", f"/v1/requests?{query}").status == 400, query
    for query in ("body_limit=1Gi", "after=x", "status=odd"):
        assert bot.request("GET", f"/v1/requests/export?{query}").status == 400, query
    fine = bot.call("bot", "/do/fine", "POST", b"x").headers["Gantry-Request-Id"]
    for target in (f"/v1/requests/{fine}/requeue", "/v1/requests/req_00000000000000000000000000/requeue", "/v1/requests/zzz/requeue"):
        assert bot.request("POST", target).status in (400, 404, 409)
    assert bot.request("POST", f"/v1/requests/{fine}/requeue").json()["id"] == "GR0414"
    assert status(bot, request_id) == "failed" and audit(bot, action="request.purge") == []
    for words in (["requests", "requeue"], ["requests", "purge", request_id, "--all"]):
        assert bot.cli(*words).returncode == 2, words
    # Its agent is gone: it stays a dead letter.
    bot.api("DELETE", "/v1/agents/bot")
    wait_for(lambda: bot.request("GET", "/v1/agents/bot").status == 404, 30, "the agent is gone")
    assert bot.request("POST", path).json()["id"] == "GR0501"
    # A new agent of the same name takes it.
    bot.deploy("bot", timeout="5s", persistence=ONE_TRY)
    bot.api("POST", path, {"target": "/do/n"}, expect=202)
    assert bot.wait_finished(request_id)["status"] == "completed"
