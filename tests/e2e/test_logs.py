"""`gantry logs` over several agents: what is merged, what is left out, and what a follower sees."""
import json
import os
import signal
import subprocess
import threading
import urllib.parse

from gantry_server import binary, wait_for


def lines_of(server, **query):
    reply = server.request("GET", "/v1/logs?" + urllib.parse.urlencode(query, doseq=True))
    assert reply.status == 200, reply
    return [json.loads(line) for line in reply.body.splitlines()]


def say(server, agent, text):
    assert server.call(agent, f"/say?text={urllib.parse.quote(text)}").status == 200


class Follower:
    """`gantry logs WORDS… -f` as a process, and the lines that it has printed."""

    def __init__(self, server, *words):
        self.process = subprocess.Popen([binary(), "logs", *words, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=server.environment)  # fmt: skip
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text):
        return wait_for(lambda: any(text in line for line in list(self.lines)), 60, f"{text} is printed; so far {self.lines}")

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(30)


def test_several_agents_are_merged_in_order_of_time(server):
    for agent in ("bot", "notes"):
        server.deploy(agent)
    for number in range(6):
        say(server, ("bot", "notes")[number % 2], f"line-{number}")
        # One after the other: lines of the same millisecond have no order between agents.
        wait_for(lambda: len(lines_of(server, filter=f"line-{number}")) == 2, 30, "the line is there")
    wanted = [f"line-{number}" for number in range(6)]
    merged = wait_for(lambda: len(found := lines_of(server, stream="stdout", filter="line-")) == 6 and found, 30, "all lines are there")
    assert [line["line"] for line in merged] == wanted
    assert [line["agent"] for line in merged] == ["bot", "notes"] * 3
    assert [line["time"] for line in merged] == sorted(line["time"] for line in merged)
    assert [line["line"] for line in lines_of(server, agent=["bot", "notes"], stream="stdout", filter="line-", tail=3)] == wanted[3:]
    assert [line["line"] for line in lines_of(server, agent="notes", stream="stderr", tail=1)] == ["line-5"]
    assert [line["line"] for line in lines_of(server, grep="^line-[24]$", stream="stdout")] == ["line-2", "line-4"]
    assert [line["line"] for line in lines_of(server, instance="bot/0", grep="line", stream="stdout")] == wanted[::2]
    assert [line["line"] for line in lines_of(server, since=merged[2]["time"], until=merged[3]["time"], stream="stdout", filter="line")] == wanted[2:4]
    assert lines_of(server, since="0s", filter="line-") == [] and len(lines_of(server, since="10m", filter="line-")) == 12


def test_conditions_that_mean_nothing_are_refused_with_what_to_do(server):
    server.deploy("bot", wait=False)
    for query, error in (("grep=a%28", "GR0511"), ("grep=%28a%29%5C1", "GR0511"), ("stream=both", "GR0511"), ("instance=seven", "GR0511"),
                         ("since=1s&until=1h", "GR0511"), ("agent=bto", "GR0501"), ("tail=many", None), ("since=yesterday", None)):  # fmt: skip
        reply = server.request("GET", f"/v1/logs?{query}")
        assert reply.status == (404 if error == "GR0501" else 400), (query, reply)
        assert reply.json().get("id") == error, (query, reply)
    done = server.cli("logs", "bot", "--grep", "a(b")
    assert done.returncode == 7 and "missing ): a(b" in done.stderr and "hint: the syntax is that of RE2" in done.stderr, done.stderr


def test_a_follower_sees_agents_restarts_and_instances_that_start_later(server):
    for agent in ("bot", "notes"):
        server.deploy(agent)
    follower = Follower(server, "--all", "--tail", "0")
    # It may not be there yet: said again until it is heard.
    wait_for(lambda: say(server, "bot", "hello") or any("bot/0" in line and "hello" in line for line in list(follower.lines)), 60)
    say(server, "notes", "second agent")
    follower.wait_for("second agent")
    server.verb("bot", "restart")
    say(server, "bot", "after the restart")
    follower.wait_for("after the restart")
    server.deploy("later")
    say(server, "later", "a later agent")
    follower.wait_for("a later agent")
    assert any(line.startswith("later/0") for line in follower.lines)
    assert follower.end() == 130


def test_a_rollout_loses_no_line_of_the_old_instance(server):
    server.deploy("bot", env={"N": "1"})
    follower = Follower(server, "bot", "--tail", "0", "--json")
    wait_for(lambda: say(server, "bot", "hello") or any("hello" in line for line in list(follower.lines)), 60)
    for number in range(20):
        say(server, "bot", f"old-{number}")
    server.deploy("bot", env={"N": "2"})
    wait_for(lambda: len(server.agent("bot")["instances"]) == 1, 60, "the old instance is gone")
    say(server, "bot", "new")
    follower.wait_for('"new"')
    rows = [json.loads(line) for line in follower.lines]
    said = [row["line"] for row in rows if row["stream"] == "stdout"]
    assert [line for line in said if line.startswith("old-")] == [f"old-{number}" for number in range(20)]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert len({row["instance"] for row in rows}) == 2
    follower.end()


def test_a_follower_ends_when_its_reader_does(server):
    server.deploy("bot")
    say(server, "bot", "one")
    wait_for(lambda: "one" in server.cli("logs", "bot").stdout, 30)
    # With SIGPIPE ignored, as under many supervisors, a write fails instead of ending the process.
    reader, writer = os.pipe()
    process = subprocess.Popen([binary(), "logs", "bot", "-f"], stdout=writer, stderr=subprocess.PIPE, env=server.environment,
                               preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))  # fmt: skip
    os.close(writer)
    assert os.read(reader, 4096)
    os.close(reader)
    wait_for(lambda: say(server, "bot", "more") or process.poll() is not None, 60, "the follower ends")
    assert process.returncode == 0 and process.stderr.read() == b""


def test_the_tail_of_long_logs_is_found_at_their_ends(server):
    server.deploy("loud", command=["python3", "-c", LOUD])
    lines = wait_for(lambda: (found := lines_of(server, tail=5, stream="stdout")) and found[-1]["line"] == "end" and found, 60)
    assert [line["line"] for line in lines] == [f"{number} {'x' * 200}" for number in range(19_996, 20_000)] + ["end"]
    assert len(lines_of(server, grep="^1999[0-9] ")) == 10


LOUD = """
import os, http.server
for number in range(20000):
    print(number, 'x' * 200)
print('end', flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"""
