"""gantry exec: a program inside an instance, its streams, its terminal, its end."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading

from gantry_server import binary, wait_for

PATIENCE = 60


def run(server, *words, **options):
    return server.cli("exec", "bot", *words, **options)


def write_quietly(pipe, data):
    try:
        pipe.write(data)
        pipe.flush()
    except (BrokenPipeError, OSError):
        pass


def inside(server, argument):
    """How many processes have that argument."""
    return int(run(server, "-n", "--", "sh", "-c", f"grep -lsz '^{argument}$' /proc/[0-9]*/cmdline | wc -l").stdout)


class Terminal:
    """`gantry exec` at a terminal of its own."""

    def __init__(self, server, *words, rows=40, columns=120):
        self.parent, child = pty.openpty()
        self.resize(rows, columns)
        environment = {**os.environ, **server.environment, "TERM": "xterm"}
        self.process = subprocess.Popen([binary(), "exec", "bot", *words], stdin=child, stdout=child, stderr=child,
                                        env=environment, start_new_session=True)  # fmt: skip
        self.before = termios.tcgetattr(child)
        self.child, self.text = child, ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.parent, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, words):
        def more():
            if select.select([self.parent], [], [], 0.2)[0]:
                self.text += os.read(self.parent, 65536).decode(errors="replace")
            return words in self.text

        wait_for(more, PATIENCE, f"{words!r} in {self.text!r}")
        seen, _, self.text = self.text.partition(words)
        return seen + words

    def type(self, words):
        os.write(self.parent, words.encode())

    def end(self):
        code = self.process.wait(PATIENCE)
        after = termios.tcgetattr(self.child)
        os.close(self.child)
        os.close(self.parent)
        assert after == self.before, "the terminal is as it was"
        return code


def test_streams_and_exit_code(server):
    server.deploy("bot")
    done = run(server, "--env", "GREETING=hello", "-w", "/workspace", "--", "sh", "-c", "echo $GREETING $PORT; pwd; cat; echo oops >&2; exit 7",
               stdin="from outside\n")  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello 8000\n/workspace\nfrom outside\n", "oops\n")
    told = json.loads(run(server, "-n", "-o", "json", "--", "sh", "-c", "echo a; echo b >&2; kill -TERM $$").stdout)
    assert told == {"code": 143, "reason": "signal 15 (SIGTERM)", "stdout": "a\n", "stderr": "b\n"}
    trail = server.cli_json("audit", "list")
    assert any(row["action"] == "agent.exec" and row["subject"] == "bot" for row in trail)


def test_large_streams_arrive_whole(server):
    server.deploy("bot")
    text = "".join(f"{number:>9}\n" for number in range(1_000_000))
    done = run(server, "--", "cat", stdin=text)
    assert done.returncode == 0 and done.stdout == text
    # Nothing to read is the end of input at once.
    environment = {**os.environ, **server.environment}
    with open(os.devnull, "rb") as nothing:
        quiet = subprocess.run([binary(), "exec", "bot", "--", "cat"], stdin=nothing, env=environment, timeout=PATIENCE)
    assert quiet.returncode == 0
    # A program that closes its stdin still hears signals.
    deaf = ["sh", "-c", "exec <&-; trap 'exit 5' TERM; echo listening; while :; do sleep 0.05; done"]
    with subprocess.Popen([binary(), "exec", "bot", "--", *deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"listening\n"
        writer = threading.Thread(target=write_quietly, args=(process.stdin, text.encode()))
        writer.start()
        writer.join(PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 5
    # A program that does not read what it is sent ends all the same.
    assert run(server, "--", "sh", "-c", "exit 3", stdin=text).returncode == 3
    # A program that it leaves behind is not waited for.
    assert run(server, "-n", "--", "sh", "-c", "sleep 1000 & echo started").stdout == "started\n"


def test_a_terminal_with_its_size_keys_and_end(server):
    server.deploy("bot")
    terminal = Terminal(server, "--", "sh")
    terminal.type("stty size; tty\n")
    assert "40 120" in terminal.read_until("/dev/pts/")
    terminal.resize(50, 99)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type("until stty size | grep '^50 99$'; do sleep 0.05; done; echo so''on\n")
    terminal.read_until("soon")
    terminal.type("sleep 1000\n")
    wait_for(lambda: inside(server, "1000"), PATIENCE, "it sleeps")
    terminal.type("\x03")
    terminal.type("exit 9\n")
    assert terminal.end() == 9


def test_who_leaves_takes_the_program_along(server):
    server.deploy("bot")
    environment = {**os.environ, **server.environment}
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen([binary(), "exec", "bot", "-n", "--", "sleep", "4711"], env=environment)
        wait_for(lambda: inside(server, "4711"), PATIENCE, "it runs")
        process.send_signal(number)
        wait_for(lambda: not inside(server, "4711"), PATIENCE, "it ended with its caller")
        assert process.wait(PATIENCE) == (-9 if number == signal.SIGKILL else 143)
    assert server.agent("bot")["restarts"] == 0


def test_refusals_say_what_to_do(server):
    server.deploy("bot", replicas=2)
    rows = [
        (["--", "no-such-program"], 7, "No such file or directory", "gantry exec bot -- ls /usr/bin"),
        (["--replica", "7", "--", "ls"], 3, "no such instance", "these run: ins_"),
        (["--instance", "nonsense", "--", "ls"], 7, "not the id of an instance", ""),
        (["-w", "relative", "--", "ls"], 7, "an absolute path", ""),
        (["--tty", "--", "ls"], 2, "needs a terminal", "leave --tty out"),
        ([], 2, "COMMAND is missing", "gantry help exec"),
    ]
    for words, code, reason, hint in rows:
        done = run(server, *words)
        assert done.returncode == code and reason in done.stderr and hint in done.stderr, (words, done)
    one, two = (row["id"] for row in server.agent("bot")["instances"])
    for instance in (one, two):
        assert run(server, "-n", "--instance", instance, "--", "printenv", "GANTRY_INSTANCE").stdout.strip() == instance
    server.verb("bot", "pause")
    done = run(server, "-n", "--", "ls")
    assert done.returncode == 5 and "paused" in done.stderr and "gantry resume bot" in done.stderr
    server.verb("bot", "stop")
    done = run(server, "-n", "--", "ls")
    assert done.returncode == 5 and "gantry start bot" in done.stderr
    assert server.cli("exec", "bott", "--", "ls").returncode == 3


def test_bodies_that_are_no_frames_are_refused(server):
    server.deploy("bot")
    frame = lambda kind, body: bytes([kind]) + len(body).to_bytes(4, "big") + body  # noqa: E731
    rows = [
        (b"", "ends before the frame"), (b"\x01\x00", "ends before the frame"), (b"\xff" * 5, "a frame of"),
        (frame(2, b"x"), "not `start`"), (frame(1, b"{"), "exec"), (frame(1, b"{}"), "command"),
        (frame(1, b'{"command":[]}'), "names no program"), (frame(1, b'{"command":["ls"],"terminal":{"rows":0,"columns":1}}'), "terminal.rows"),
        (frame(1, b'{"command":["ls"],"env":{"A":1}}'), "env.A"),
    ]  # fmt: skip
    for body, reason in rows:
        reply = server.request("POST", "/v1/agents/bot/exec", body, {"Content-Type": "application/vnd.gantry.exec"})
        assert reply.status == 400 and reason in reply.body.decode(), (body, reply)
    assert server.request("POST", "/v1/agents/bot/exec", b"{}", {"Content-Type": "application/json"}).status == 400
    assert server.request("POST", "/v1/agents/bot/exec", b"", {"Content-Type": "application/vnd.gantry.exec"}, key=None).status == 401
