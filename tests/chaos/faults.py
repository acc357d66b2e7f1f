"""What chaos.py does to a server and its agents. Each fault lasts a moment and leaves the world as it was, but for the clock."""
import errno
import http.client
import mmap
import os
import pathlib
import signal
import struct
import subprocess
import time

from gantry_server import alive, descendants, kill_process

CLANG = next((path for path in ("/usr/bin/clang-22", "/usr/bin/clang", "/usr/bin/cc") if os.path.exists(path)), None)
# How often each is chosen.
WEIGHTS = {"kill_agent": 22, "kill_server": 16, "kill_both": 8, "stop_agent": 12, "stop_server": 10, "slow_disk": 10, "clock_jump": 12, "full_disk": 6}


class Shim:
    """shim.c, built and preloaded into the server, and the file that steers it."""

    def __init__(self, directory):
        self.library, self.control = directory / "shim.so", directory / "control"
        source = pathlib.Path(__file__).parent / "shim.c"
        subprocess.run([CLANG, "-O1", "-shared", "-fPIC", "-o", str(self.library), str(source)], check=True)
        self.control.write_bytes(bytes(4096))
        self.file = open(self.control, "r+b")
        self.memory = mmap.mmap(self.file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "CHAOS_CONTROL": str(self.control)}

    def set_clock(self, offset_ns):
        self.memory[0:8] = struct.pack("<q", offset_ns)

    def clock(self):
        return struct.unpack("<q", self.memory[0:8])[0]

    def slow(self, delay_us):
        self.memory[8:16] = struct.pack("<q", delay_us)


class Disk:
    """A file system of its own for the data directory: an ext4 image on a loop device, else a tmpfs. None without root.

    Workspaces of agents stay outside by a bind mount: what agents write down must not be lost with the disk.
    """

    def __init__(self, home, megabytes):
        self.root, self.mounts, self.kind = home / "disk", [], None
        self.root.mkdir()
        image = home / "disk.img"
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], capture_output=True, check=False)
        ways = [("ext4", ["mount", "-o", "loop,data=ordered", str(image), str(self.root)])] if made.returncode == 0 else []
        ways.append(("tmpfs", ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", str(self.root)]))
        for kind, command in ways:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self.kind = kind
                self.mounts.append(self.root)
                break
        if not self.kind:
            return
        self.root.chmod(0o755)
        outside, inside = home / "workspaces", self.root / "server/data/workspaces"
        outside.mkdir(mode=0o755)
        inside.mkdir(parents=True)
        subprocess.run(["mount", "--bind", str(outside), str(inside)], check=True)
        self.mounts.append(inside)

    def fill(self):
        """Takes every byte that is left."""
        with open(self.root / "filler", "ab", buffering=0) as file:
            for size in (64 << 20, 1 << 20, 1 << 12):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def free(self):
        (self.root / "filler").unlink(missing_ok=True)

    def close(self):
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(path)], check=False)


class Faults:
    """Chooses and commits faults; `log` keeps what was done when."""

    def __init__(self, server, agents, chance, shim, disk, kinds):
        self.server, self.agents, self.chance, self.shim, self.disk = server, agents, chance, shim, disk
        self.kinds, self.log = kinds, []

    def commit(self):
        kind = self.chance.choices(self.kinds, [WEIGHTS[kind] for kind in self.kinds])[0]
        # Decided before anything runs, so that a seed repeats the sequence whatever the machine does.
        choice = {"agents": self.chance.sample(self.agents, len(self.agents)), "seconds": self.chance.random(), "amount": self.chance.random(),
                  "coin": self.chance.random() < 0.3}  # fmt: skip
        before, at = self.server.pid, time.monotonic()
        detail = getattr(self, kind)(**choice) or ""
        self.note(kind, at, detail, restarted=self.server.pid != before)
        return kind

    def note(self, kind, at, detail, restarted=False):
        self.log.append({"kind": kind, "at": at, "until": time.monotonic(), "detail": detail, "restarted": restarted})

    def programs(self, agents):
        """Pids of the program of the first agent that runs, without the shim above it."""
        for name in agents:
            try:
                pid = self.server.sandbox_pid(name)
            except (OSError, http.client.HTTPException, AssertionError):
                return None, []
            found = [child for child in descendants(pid) if child != pid] if pid else []
            if found:
                return name, found
        return None, []

    def kill_agent(self, agents, **_):
        name, programs = self.programs(agents)
        for pid in programs:
            kill_process(pid)
        return name

    def kill_server(self, **_):
        self.server.restart()

    def kill_both(self, agents, **_):
        name, programs = self.programs(agents)
        self.server.kill9()
        for pid in programs:
            kill_process(pid)
        self.server.start()
        return name

    def stop_agent(self, agents, seconds, coin, **_):
        name, programs = self.programs(agents)
        send(programs, signal.SIGSTOP)
        time.sleep(seconds * 4)
        if coin:
            self.server.restart()  # its deliveries sit in the stopped agent
        send(programs, signal.SIGCONT)
        return f"{name} for {seconds * 4:.1f} s{', the server killed meanwhile' if coin else ''}"

    def stop_server(self, seconds, **_):
        send([self.server.pid], signal.SIGSTOP)
        time.sleep(seconds * 2)
        send([self.server.pid], signal.SIGCONT)
        return f"for {seconds * 2:.1f} s"

    def slow_disk(self, seconds, amount, coin, **_):
        delay_us = int(2_000 * 100**amount)
        self.shim.slow(delay_us)
        time.sleep(0.5 + seconds * 2)
        if coin:
            self.server.kill9()
        self.shim.slow(0)
        if coin:
            self.server.start()
        return f"{delay_us / 1000:.0f} ms for each flush{', killed in it' if coin else ''}"

    def clock_jump(self, amount, seconds, **_):
        """Between a tenth of a second and an hour, ahead or back."""
        jump = 0.1 * 36_000**amount * (1 if seconds < 0.5 else -1)
        self.shim.set_clock(self.shim.clock() + int(jump * 1e9))
        return f"{jump:+.1f} s, {self.shim.clock() / 1e9:+.1f} s in all"

    def full_disk(self, seconds, coin, **_):
        self.disk.fill()
        until = time.monotonic() + 0.3 + seconds * 2
        while time.monotonic() < until:
            time.sleep(0.1)
            self.disk.fill()  # what the server gives back is taken as well
        if coin:
            self.server.kill9()
        self.disk.free()
        if coin:
            self.server.start()
        return f"for {0.3 + seconds * 2:.1f} s{', killed in it' if coin else ''}"

    def hurry(self):
        """An operator who does not wait for the backoff of agents that were killed often."""
        for agent in self.server.api("GET", "/v1/agents")["data"]:
            if any(instance["status"] == "backoff" for instance in agent["instances"]):
                self.server.verb(agent["name"], "start", wait=None)


def send(pids, number):
    for pid in pids:
        if alive(pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
