"""The command line against a real server: what a person types, what a script parses, and how it exits."""
import json
import shutil
import subprocess
import time

import pytest
import yaml

from gantry_server import AGENTS, NODE, ROOT, binary, wait_for

AGENT_YAML = """apiVersion: gantry/v1
kind: Agent
metadata: { name: yaml-bot, labels: { team: e2e } }
spec:
  command: [python3, worker.py]
  workdir: .
  env: { GREETING: "${GREETING:-hello}" }
  grace: 1s
"""


@pytest.fixture
def project(home):
    """A directory as a user has it: a program and its YAML."""
    directory = home / "project"
    directory.mkdir()
    shutil.copy(AGENTS / "worker.py", directory)
    (directory / "agents.yaml").write_text(AGENT_YAML)
    return directory


def one(value):
    """The only element of a listing, in either form that a listing may have."""
    rows = value["data"] if isinstance(value, dict) else value
    assert len(rows) == 1, rows
    return rows[0]


def test_the_life_of_an_agent_on_the_command_line(server, project):
    deployed = server.cli_json("deploy", "--config", "agents.yaml", directory=project, environment={"GREETING": "hi"})
    assert "yaml-bot" in json.dumps(deployed)
    assert server.call("yaml-bot", "/environment").json()["GREETING"] == "hi"
    assert server.cli("deploy", "--name", "bot", "--command", "python3 worker.py", "--workdir", project, "--memory", "128Mi", "--cpu", "500m", "--grace",
                      "1s", "--env", "A=b c").returncode == 0  # fmt: skip
    agent = server.agent("bot")
    assert agent["spec"]["resources"]["memory"] == "128Mi" and agent["spec"]["env"] == {"A": "b c"}

    assert server.cli("list", "-o", "name").stdout.split() == ["bot", "yaml-bot"]
    assert "yaml-bot" in server.cli("ps").stdout
    done = server.cli("invoke", "bot", "/do/a", "-d", "some data", "-H", "X-Mine: 1")
    assert done.returncode == 0 and json.loads(done.stdout)["bytes"] == 9
    request_id = server.requests(agent="bot")[0]["id"]
    assert request_id in done.stderr
    shown = server.cli("requests", "show", request_id).stdout
    assert "completed" in shown and "some data" in shown
    assert server.cli("requests", "replay", request_id, "--wait", "30s").returncode == 0
    assert len(server.requests(agent="bot", status="completed")) == 2

    for verb, status in [("pause", "paused"), ("resume", "running"), ("stop", "stopped"), ("start", "running"), ("restart", "running")]:
        done = server.cli(verb, "bot")
        assert done.returncode == 0, f"{verb}: {done.stderr}"
        assert server.agent("bot")["status"] == status, verb
    assert server.cli("scale", "bot", "2").returncode == 0
    assert server.agent("bot")["ready"] == 2
    assert server.cli("stop", "--all", "--yes").returncode == 0
    assert {agent["status"] for agent in server.api("GET", "/v1/agents")["data"]} == {"stopped"}
    later = server.cli("invoke", "bot", "/do/later", "-d", "x")
    assert later.returncode == 0 and later.stdout.strip().startswith("req_")
    assert server.cli("start", "bot").returncode == 0
    server.wait_finished(later.stdout.split()[0])
    assert server.cli("remove", "bot", "--yes").returncode == 0
    assert server.cli("list", "-o", "name").stdout.split() == ["yaml-bot"]


def test_every_command_prints_json_that_parses(server, project):
    server.cli_json("deploy", "--config", "agents.yaml", directory=project)
    request_id = server.call("yaml-bot", "/do/a", "POST", "x").headers["Gantry-Request-Id"]
    commands = [
        ("status",), ("encryption", "status"), ("doctor",), ("doctor", "--storage"), ("version",), ("list",), ("ps",), ("inspect", "yaml-bot"), ("health", "yaml-bot"),
        ("stats",), ("stats", "yaml-bot"), ("top",), ("events",), ("quota",), ("quota", "set", "agents=100"), ("exec", "yaml-bot", "-n", "true"), ("logs", "yaml-bot"), ("logs", "--all"), ("requests", "list"), ("requests", "show", request_id),
        ("requests", "replay", request_id, "--wait", "30s"), ("requests", "export"), ("audit", "list"), ("webhooks", "list"), ("invoke", "yaml-bot", "/self"), ("invoke", "yaml-bot", "/do/b", "-d", "x"),
        ("validate", "-f", project / "agents.yaml"), ("diff", project / "agents.yaml"), ("export", "--all"), ("import", project / "agents.yaml"), ("config", "view"), ("config", "view", "--origin"), ("config", "get", "listen"),
        ("config", "set", "listen", "127.0.0.1:9000"), ("config", "reset", "listen"), ("help",), ("help", "deploy"), ("completion", "bash"),
        ("pause", "yaml-bot"), ("resume", "yaml-bot"), ("stop", "yaml-bot"), ("start", "yaml-bot"), ("restart", "yaml-bot"),
        ("scale", "yaml-bot", "1"), ("deploy", "-f", project / "agents.yaml"), ("remove", "yaml-bot", "--yes"),
    ]  # fmt: skip
    for words in commands:
        server.cli_json(*words)
    top_level = {command["name"].split()[0] for command in commands_of(server)}
    covered = {words[0] for words in commands} | {"up", "down", "demo"}
    assert top_level <= covered, f"not tried: {top_level - covered}"
    server.cli_json("down")
    assert server.process.wait(30) == 0


def commands_of(server):
    """The rows of the command table, from `gantry help -o json`."""
    table = server.cli_json("help")
    rows = table if isinstance(table, list) else table.get("commands") or table.get("data")
    assert rows, table
    return [row for row in rows if not row["name"].startswith("__")]


@pytest.mark.parametrize("form", ["table", "wide", "json", "jsonl", "yaml", "name"])
def test_listings_come_in_every_form_and_without_colour_in_a_pipe(server, form):
    server.deploy("one")
    server.deploy("two", replicas=0, wait=False)
    done = server.cli("list", "-o", form)
    assert done.returncode == 0 and "\x1b" not in done.stdout
    if form == "name":
        assert done.stdout.split() == ["one", "two"]
    elif form == "jsonl":
        assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["one", "two"]
    elif form in ("json", "yaml"):
        value = json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)
        assert [row["name"] for row in (value["data"] if isinstance(value, dict) else value)] == ["one", "two"]
    else:
        assert done.stdout.splitlines()[0].startswith("NAME")
    with_colour = server.cli("list", environment={"GANTRY_COLOR": "always"}).stdout
    assert "\x1b" in with_colour


def test_exit_codes_say_what_went_wrong(server, project, home):
    server.deploy("counter")
    (project / "bad.yaml").write_text("apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: x }\nspec: { comand: a }\n")
    nowhere = {"GANTRY_DATA": str(home / "nowhere")}
    cases = [
        (0, ("status",), {}), (2, ("lst",), {}), (2, ("list", "--nonsense"), {}), (2, ("scale", "counter", "many"), {}), (2, ("inspect",), {}),
        (3, ("inspect", "countr"), {}), (3, ("requests", "show", "req_00000000000000000000000000"), {}), (4, ("status",), {"GANTRY_KEY": "gk_wrong"}),
        (7, ("validate", "-f", project / "bad.yaml"), {}), (7, ("deploy", "-f", project / "bad.yaml"), {}), (11, ("status",), nowhere),
        (11, ("status",), {"GANTRY_URL": "http://127.0.0.1:1"}), (3, ("validate", "-f", "absent.yaml"), {}), (3, ("config", "get", "nonsense"), {}),
        (0, ("version",), nowhere), (0, ("--help",), {}), (0, ("validate", "-f", project / "agents.yaml"), nowhere),
    ]  # fmt: skip
    for code, words, environment in cases:
        done = server.cli(*words, environment=environment)
        assert done.returncode == code, f"gantry {words}: exit {done.returncode}, wanted {code}\n{done.stdout}\n{done.stderr}"
        if code:
            assert done.stdout == "" and done.stderr.startswith("error"), f"{words}: {done.stdout!r} {done.stderr!r}"
    assert "counter" in server.cli("inspect", "countr").stderr
    assert "list" in server.cli("lst").stderr
    assert "command" in server.cli("validate", "-f", project / "bad.yaml").stderr
    # Nobody can be asked: refused, and nothing is done.
    done = server.cli("remove", "counter", stdin="")
    assert done.returncode != 0 and server.agent("counter")


def test_a_deploy_that_never_becomes_ready_times_out_with_the_next_step(server):
    done = server.cli("deploy", "--name", "bot", "--command", "sleep 1000", "--timeout", "2s")
    assert done.returncode == 6, done.stderr
    assert "gantry" in done.stderr
    assert server.agent("bot")["ready"] == 0


def test_up_and_down_run_a_server_in_the_background(make_server):
    server = make_server()
    done = server.cli("up", "--detach", "--listen", "127.0.0.1:0", "-o", "json")
    assert done.returncode == 0, done.stderr
    announced = json.loads(done.stdout)
    try:
        assert server.cli_json("status")["url"] == announced["url"]
        again = server.cli("up", "--detach", "--listen", "127.0.0.1:0")
        assert again.returncode == 5 and "GR0001" in again.stderr, again.stderr
        here = server.cli("up", "--listen", "127.0.0.1:0")
        assert (here.returncode, here.stderr) == (5, again.stderr), "the same error, whoever started it"
        assert [line.split(":")[0] for line in again.stderr.splitlines()] == ["error", "hint"], again.stderr
        # The log is in its file, which is rotated, and not in the one that takes stderr.
        assert '"server ready"' in (server.data / "logs" / "server.log").read_text()
        assert "server ready" not in (server.data / "server.log").read_text()
        rows = {row["what"] for row in server.cli_json("doctor", "--storage")["data"]}
        assert "uploads" in rows and "logs" in rows, rows
    finally:
        down = server.cli("down", "--timeout", "30s", "--kill")
    assert down.returncode == 0, down.stderr
    assert server.cli("status").returncode == 11


def test_a_server_that_cannot_start_says_why_and_what_to_do(make_server, home):
    server = make_server()
    (home / "file").write_text("no directory")
    for detach in ([], ["--detach"]):
        for code, words in [(7, ("up", "--listen", "nonsense")), (7, ("up", "--listen", "127.0.0.1:99999"))]:
            done = server.cli(*words, *detach)
            assert done.returncode == code and "\nhint: " in done.stderr and done.stdout == "", (words, detach, done.stderr)
        done = server.cli("up", "--data", home / "file", *detach)
        assert done.returncode not in (0, 11) and "\nhint: --data names a directory" in done.stderr, (detach, done.stderr)
    assert "7 validation failed" in " ".join(server.cli("help", "up").stdout.split())


STREAMER = """
import http.server, os, signal
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.stream()
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.stream()
    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\\r\\nhalf \\r\\n")
        self.wfile.flush()
        if self.headers.get("Gantry-Attempt", "1") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        self.wfile.write(b"5\\r\\nwhole\\r\\n0\\r\\n\\r\\n")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_an_answer_that_breaks_off_tells_what_became_of_the_request(server, home):
    directory = home / "streamer"
    directory.mkdir()
    (directory / "app.py").write_text(STREAMER)
    server.put("streamer", {"command": ["python3", "app.py"], "workdir": str(directory), "grace": "1s",
                            "persistence": {"retry": {"initial": "50ms", "cap": "200ms"}}})  # fmt: skip
    server.wait_ready("streamer")
    done = server.cli("invoke", "streamer", "/", "-d", "x")
    request_id = server.requests(agent="streamer")[0]["id"]
    assert (done.returncode, done.stdout) == (13, "half "), done.stderr
    assert "the answer broke off; request " + request_id in done.stderr and f"hint: gantry requests show {request_id}" in done.stderr
    assert server.wait_finished(request_id)["attempts"] == 2
    server.wait_ready("streamer")
    done = server.cli("invoke", "streamer", "/")
    assert done.returncode == 13 and "not of a kind that is kept" in done.stderr, done.stderr


def test_a_call_that_nobody_can_take_tells_the_real_state(server):
    server.put("loop", {"command": ["sh", "-c", "exit 3"]})
    wait_for(lambda: server.agent("loop")["status"] == "crash_loop", 60, "a crash loop")
    done = server.cli("invoke", "loop", "/x", "--wait", "1s")
    assert done.returncode == 5 and "agent 'loop' is crash_loop: exit 3" in done.stderr, done.stderr
    assert "Prefer" not in done.stderr and "\nhint: gantry inspect loop" in done.stderr


def test_logs_follow_until_interrupted(server):
    server.deploy("bot")
    server.call("bot", "/say?text=one")
    wait_for(lambda: "one" in server.cli("logs", "bot").stdout, 20)
    assert server.cli("logs", "bot", "--filter", "nothing").stdout == ""


def test_invoke_streams_large_bodies_both_ways(server, home):
    server.deploy("echo", "echo.py")
    data = home / "data.bin"
    data.write_bytes(bytes(range(256)) * 40_000)
    done = subprocess.run([binary(), "invoke", "echo", "/mirror", "-d", f"@{data}"], capture_output=True, env=server.environment, timeout=60)
    assert done.returncode == 0 and done.stdout == data.read_bytes()


@pytest.mark.long(seconds=40)
def test_the_demo_is_true(make_server):
    runner = make_server(name="demo")
    began = time.monotonic()
    done = runner.cli("demo", "-o", "json", timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] and result["agents_killed"] == 1 and result["servers_killed"] == 1
    assert result["node"] == bool(NODE)
    assert len(result["agents"]) == (2 if NODE else 1)
    for row in result["agents"]:
        assert row["sent"] == row["accepted"] == row["answered"] == row["counted"] == 24, row
        assert row["lost"] == 0
    assert sum(row["redelivered"] for row in result["agents"]) > 0
    assert result["duration_ms"] <= (time.monotonic() - began) * 1000
    assert not runner.data.exists(), "it has a data directory of its own"


def test_the_examples_deploy_as_they_are(server):
    for name, path, agent in [("python-counter", "/items/apple", "counter"), ("node-notes", "/notes/hello", "notes")]:
        if agent == "notes" and not NODE:
            continue
        done = server.cli("deploy", "--config", ROOT / "examples" / name / "agent.yaml")
        assert done.returncode == 0, done.stderr
        assert server.call(agent, path, "POST").json()["count"] == 1
