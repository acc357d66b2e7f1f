"""What `gantry stats` and `gantry top` tell of real programs."""
import os
import pty
import select
import subprocess
import time

from gantry_server import binary, wait_for


def rows_of(server, *agents):
    return server.api("GET", "/v1/stats?" + "&".join(f"agent={agent}" for agent in agents))


def test_stats_count_bytes_files_and_the_times_of_requests(server):
    server.deploy("bot", persistence={"enabled": False}, resources={"memory": "256Mi", "pids": 256, "workspace": "64Mi"})
    server.deploy("idle")
    for _ in range(20):
        assert server.call("bot", "/slow?ms=30").status == 200
    assert server.call("bot", "/do/x", "POST", body=b"x" * 100_000).status == 200
    answer = rows_of(server, "bot")
    (row,), (agent,) = answer["data"], answer["agents"]
    assert row["bytes_in"] > 100_000 and row["bytes_out"] > 20 * 50, row
    assert row["recent"]["requests"] == 21 and row["recent"]["per_second"] > 0, row
    assert 29 <= row["recent"]["p50_ms"] <= row["recent"]["p95_ms"] <= row["recent"]["p99_ms"], row
    assert row["workspace_limit_bytes"] == 64 << 20
    assert agent["agent"] == "bot" and agent["recent"] == {**row["recent"], "per_second": agent["recent"]["per_second"]}
    assert {one["agent"]: one["recent"]["requests"] for one in rows_of(server)["agents"]} == {"bot": 21, "idle": 0}
    assert server.request("GET", "/v1/stats?agent=bto").json()["id"] == "GR0501"
    # Measured every few seconds.
    server.call("bot", "/do/file", "POST")
    wait_for(lambda: rows_of(server, "bot")["data"][0]["workspace_bytes"] > 0, 60, "the workspace is measured")


def test_the_window_of_an_agent_outlives_its_instances(server):
    server.deploy("bot", persistence={"enabled": False})
    for _ in range(5):
        server.call("bot", "/slow?ms=1")
    server.verb("bot", "restart")
    answer = rows_of(server, "bot")
    assert answer["agents"][0]["recent"]["requests"] == 5
    assert answer["data"][0]["recent"]["requests"] == 0


def test_durable_requests_are_counted_too(server):
    server.deploy("bot")
    server.call("bot", "/do/a?ms=40", "POST")
    (row,) = rows_of(server, "bot")["data"]
    assert row["recent"]["requests"] == 1 and row["recent"]["p50_ms"] >= 38 and row["bytes_in"] > 0 and row["bytes_out"] > 0


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, server, *words):
        self.master, slave = pty.openpty()
        subprocess.run(["stty", "rows", "30", "cols", "160"], stdin=slave, check=True)
        self.process = subprocess.Popen([binary(), *words], stdin=slave, stdout=slave, stderr=slave,
                                        env={**server.environment, "TERM": "xterm"}, start_new_session=True)  # fmt: skip
        self.slave, self.text = slave, ""

    def read_until(self, text, seconds=60):
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.text[-2000:]!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def press(self, keys):
        self.text = ""
        os.write(self.master, keys.encode())

    def settings(self):
        return subprocess.run(["stty", "-a"], stdin=self.slave, capture_output=True, text=True, check=True).stdout


def test_top_is_a_screen_that_obeys_keys_and_leaves_the_terminal_as_it_was(server):
    server.deploy("bot")
    server.deploy("second")
    terminal = Terminal(server, "top", "--interval", "200ms", "--no-color")
    before = terminal.settings()
    terminal.read_until("sorted by cpu")
    assert " -echo " in terminal.settings() and " echo " in before
    terminal.press("m")
    terminal.read_until("sorted by memory")
    terminal.read_until("bot")
    terminal.press("q")
    terminal.read_until("\x1b[?1049l")
    assert terminal.process.wait(30) == 0
    assert terminal.settings() == before
    done = server.cli("top", "--sort", "name", "-o", "name")
    assert done.stdout == "bot\nsecond\n"
