"""The real binary under test: one server in a data directory of its own, and the ways to talk to it.

    server = GantryServer(tmp_path)
    server.start()
    server.deploy("bot", "worker.py", concurrency=1)
    server.call("bot", "/do/a", "POST").json()
    server.kill9(); server.start()

Nothing here sleeps for a fixed time: `wait_for` looks until a condition holds or its deadline has passed.
"""
import http.client
import io
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import tarfile
import time
from urllib.parse import urlsplit

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENTS = pathlib.Path(__file__).resolve().parent / "agents"
READY_SECONDS = 60
NODE = next((str(path) for path in map(pathlib.Path, ("/usr/bin/node", "/usr/local/bin/node")) if path.exists()), None)


def binary():
    places = [os.environ.get("GANTRY_BIN")] + [ROOT / "build" / preset / "src/gantry" for preset in ("dev", "release")]
    for place in filter(None, places):
        if pathlib.Path(place).exists():
            return str(pathlib.Path(place).resolve())
    raise FileNotFoundError("no gantry binary: build one or set GANTRY_BIN")


class NotInTime(AssertionError):
    """A condition did not come true before its deadline."""


def wait_for(condition, seconds=30, what="a condition"):
    """The first true value of `condition`; exceptions of a server that is away count as not true."""
    deadline, last = time.monotonic() + seconds, None
    while True:
        try:
            if value := condition():
                return value
            last = value
        except (OSError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() > deadline:
            raise NotInTime(f"{what} did not come true in {seconds} s; last: {last!r}")
        time.sleep(0.01)


def descendants(pid):
    """Every process below `pid`, itself included."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def alive(pid):
    """True if it runs; a zombie does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill_process(pid):
    """SIGKILL; a process that has gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def processes_naming(text):
    """Processes with `text` on their command line: what a server that was killed has left behind."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class Reply:
    """One answer, read whole."""

    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class GantryServer:
    def __init__(self, home, environment=None, flags=()):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.data = self.home / "data"
        self.log_path = self.home / "server.err"
        # Small segments: dozens of servers on one disk.
        self.environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.home), "GANTRY_DATA": str(self.data),
            "GANTRY_JOURNAL_SEGMENT_SIZE": "4Mi", "HARNESS_SECRET": "not for agents", **(environment or {}),
        }  # fmt: skip
        self.flags, self.process, self.url, self.pid, self.key = list(flags), None, None, None, None

    # ---- Life.

    def spawn(self):
        """Starts the process without waiting for it."""
        with open(self.log_path, "ab") as log:
            command = [binary(), "up", "--data", str(self.data), "--listen", "127.0.0.1:0", "-o", "json", *self.flags]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment, start_new_session=True)  # fmt: skip
        return self.process

    def start(self, seconds=READY_SECONDS):
        self.spawn()
        line, deadline = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                code = self.process.poll() if not ready else self.process.wait(10)
                raise AssertionError(f"the server did not become ready (exit {code}):\n{self.log_tail()}")
            line += piece
        announced = json.loads(line)
        self.url, self.pid = announced["url"], announced["pid"]
        self.key = pathlib.Path(announced["key_file"]).read_text().strip()
        return self

    def kill9(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()

    def restart(self):
        self.kill9()
        return self.start()

    def stop(self, seconds=60):
        """TERM, and its exit code."""
        self.process.terminate()
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code

    def end(self):
        """Ends the server however it is, and everything that it started."""
        if self.process and self.process.poll() is None:
            try:
                self.stop(30)
            except subprocess.TimeoutExpired:
                self.kill9()
        for pid in processes_naming(str(self.data)):
            for process in descendants(pid):
                kill_process(process)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def log_tail(self, lines=60):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:]) if self.log_path.exists() else ""

    # ---- HTTP.

    def connection(self, timeout=60):
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, key="root", timeout=60):
        """One call on a connection of its own. `key` None sends none."""
        fields = dict(headers or {})
        if key is not None:
            fields.setdefault("Authorization", f"Bearer {self.key if key == 'root' else key}")
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=fields)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            response = connection.getresponse()
            return Reply(response, response.read())
        finally:
            connection.close()

    def api(self, method, path, body=None, expect=None, **options):
        """A call of /v1 that must succeed (or have the status `expect`); its JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        reply = self.request(method, path, body, **options)
        wanted = (expect,) if expect else (200, 201, 202)
        assert reply.status in wanted, f"{method} {path}: {reply}"
        return reply.json() if reply.body else None

    def call(self, agent, path="/", method="GET", body=None, headers=None, **options):
        """One request to an agent through the proxy."""
        return self.request(method, f"/agent/{agent}{path}", body, headers, **options)

    # ---- Agents.

    def upload(self, directory):
        """Sends a directory as a workdir; its digest."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in sorted(pathlib.Path(directory).rglob("*")):
                tar.add(path, arcname=str(path.relative_to(directory)), recursive=False)
        return self.api("POST", "/v1/workdirs", packed.getvalue(), headers={"Content-Type": "application/x-tar"})["digest"]

    def put(self, name, spec, expect=None):
        """PUT of one agent; `workdir` is a directory or a digest."""
        spec = dict(spec)
        if "workdir" in spec and not str(spec["workdir"]).startswith("sha256:"):
            spec["workdir"] = self.upload(spec["workdir"])
        resource = {"apiVersion": "gantry/v1", "kind": "Agent", "metadata": {"name": name}, "spec": spec}
        return self.api("PUT", f"/v1/agents/{name}", resource, expect=expect)

    def deploy(self, name, program="worker.py", wait=True, **spec):
        """One of agents/ with a spec that suits tests; fields in `spec` win."""
        interpreter = "node" if program.endswith(".js") else "python3"
        full = {
            "command": [interpreter, program], "workdir": str(AGENTS), "grace": "2s",
            "resources": {"memory": "256Mi", "pids": 256},
            "persistence": {"retry": {"policy": "exponential", "max": 5, "initial": "50ms", "cap": "500ms"}}, **spec,
        }  # fmt: skip
        deployed = self.put(name, full)
        if wait:
            self.wait_ready(name)
        return deployed

    def agent(self, name):
        return self.api("GET", f"/v1/agents/{name}")

    def wait_ready(self, name, replicas=None, seconds=60):
        def ready():
            agent = self.agent(name)
            return agent["ready"] >= (agent["replicas"] if replicas is None else replicas) and agent["status"] == "running" and agent

        return wait_for(ready, seconds, f"agent {name} is ready")

    def verb(self, name, verb, wait="60s"):
        return self.api("POST", f"/v1/agents/{name}/{verb}" + (f"?wait={wait}" if wait else ""), timeout=90)

    def sandbox_pid(self, name, replica=0):
        """Pid on the host of the first process in the sandbox of an instance that runs; None if there is none."""
        for instance in self.agent(name)["instances"]:
            if instance["replica"] == replica and instance["pid"] and instance["status"] in ("ready", "unready", "starting"):
                return instance["pid"]
        return None

    def kill_agent(self, name, replica=0):
        """SIGKILL for the program of an instance (not for the shim above it), as the kernel's OOM killer would."""
        pid = self.sandbox_pid(name, replica)
        programs = [child for child in descendants(pid) if child != pid]
        assert programs, f"agent {name} has no program below {pid}"
        for program in programs:
            kill_process(program)

    def agent_log(self, name):
        """What worker.py wrote down: [[word, key, attempt, request id], …]. Asked again if its instance dies meanwhile."""

        def log():
            reply = self.call(name, "/log", headers={"Prefer": "wait=30"})
            return reply.status == 200 and reply

        return wait_for(log, 60, f"{name} shows its log").json()

    # ---- Requests.

    def requests(self, **query):
        """All requests that match, over all pages."""
        found, after = [], None
        while True:
            fields = {"limit": 1000, **query, **({"after": after} if after else {})}
            page = self.api("GET", "/v1/requests?" + "&".join(f"{key}={value}" for key, value in fields.items()))
            found += page["data"]
            after = page["next"]
            if not after:
                return found

    def show(self, request_id):
        return self.api("GET", f"/v1/requests/{request_id}")

    def wait_finished(self, request_id, seconds=60):
        return wait_for(lambda: (shown := self.show(request_id))["status"] in ("completed", "failed", "cancelled") and shown, seconds, f"request {request_id} is finished")

    # ---- Command line.

    def cli(self, *words, stdin=None, environment=None, directory=None, timeout=120):
        """`gantry WORDS…` as a person on this machine runs it."""
        return subprocess.run([binary(), *map(str, words)], input=stdin, capture_output=True, text=True, timeout=timeout,
                              env={**self.environment, **(environment or {})}, cwd=directory or self.home)  # fmt: skip

    def cli_json(self, *words, **options):
        done = self.cli(*words, "-o", "json", **options)
        assert done.returncode == 0, f"gantry {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)
