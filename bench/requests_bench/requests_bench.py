#!/usr/bin/python3
"""Durable requests: what keys, encryption and bodies cost, latency at half load, a long backlog, recovery; beside Restate and Redis in the same run.

    bench/requests_bench/requests_bench.py build/release                      everything, about 8 minutes
    bench/requests_bench/requests_bench.py build/release --only peers
    bench/requests_bench/requests_bench.py build/release --backlog 100000 --seconds 2 --rounds 1    a quick look

The peers are installed into a temporary directory (npm for Restate) and started on free ports; one that cannot be had is
left out with a word why. Prints tables and writes JSON (--json FILE, default BUILD/requests_bench.json). Asserts no time.
"""
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bench/proxy_bench")]

from gantry_server import NODE, GantryServer, wait_for  # noqa: E402
from proxy_bench import NGINX, cpu_seconds, free_port, make_parser, nginx_agent, print_table, rss_bytes, run_parts, run_wrk  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 64


# ---- Load.


def write_script(path, key, body_bytes, headers=(), unique_keys=False):
    """A wrk script of POSTs; with `unique_keys` each request has an Idempotency-Key of its own."""
    lines = ['wrk.method = "POST"', f'wrk.body = string.rep("x", {body_bytes})', 'wrk.headers["Content-Type"] = "application/octet-stream"']
    if key:
        lines.append(f'wrk.headers["Authorization"] = "Bearer {key}"')
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers]
    if unique_keys:
        # The file is read for each run: a word that no other run has.
        lines += ['local random = io.open("/dev/urandom"):read(8):gsub(".", function(c) return string.format("%02x", c:byte()) end)', "local count = 0",
                  "request = function()", "  count = count + 1", '  wrk.headers["Idempotency-Key"] = random .. "-" .. count', "  return wrk.format()", "end"]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def written_bytes(pid):
    """What the process gave to the block layer so far."""
    return int(re.search(r"^write_bytes: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text(), re.M).group(1))


def is_projected(server):
    journal = server.api("GET", "/v1/status")["journal"]
    return journal["projected_seq"] >= journal["durable_seq"]


def start(bench, name, environment=None):
    server = GantryServer(bench.home / name, environment={"GANTRY_JOURNAL_SEGMENT_SIZE": "64Mi", "GANTRY_LOG_LEVEL": "warn", **(environment or {})})
    bench.servers.append(server)
    return server.start()


def put_nginx(bench, server, name):
    directory = bench.home / f"{server.home.name}-{name}-agent"
    server.put(name, {"command": [NGINX, "-e", "stderr", "-p", "/tmp", "-c", "/app/nginx.conf"], "workdir": str(nginx_agent(directory)), "concurrency": 512,
                      "resources": {"memory": "512Mi", "cpu": os.cpu_count(), "pids": 64}})  # fmt: skip
    server.wait_ready(name)


def put_node(server, name):
    server.put(name, {"command": ["node", "agent.js"], "workdir": str(HERE / "agents"), "concurrency": 512,
                      "resources": {"memory": "512Mi", "cpu": os.cpu_count(), "pids": 64}})  # fmt: skip
    server.wait_ready(name)


def median_of(results):
    return {key: statistics.median(result[key] for result in results) for key in results[0]}


# ---- What durable requests cost.


def bench_ways(bench):
    plain = start(bench, "plain")
    sealed = start(bench, "sealed", {"GANTRY_ENCRYPTION_KEY": secrets.token_hex(32)})
    for server in (plain, sealed):
        put_nginx(bench, server, "bot")
    ways = {
        "1 KiB": (plain, 1024, False), "1 KiB, a key each": (plain, 1024, True), "1 KiB, encrypted": (sealed, 1024, False),
        "1 KiB, a key each, encrypted": (sealed, 1024, True), "4 KiB": (plain, 4096, False), "64 KiB": (plain, 65536, False),
    }  # fmt: skip
    rounds = {way: [] for way in ways}
    for number in range(bench.options.rounds + 1):
        for way, (server, size, keys) in ways.items():
            script = write_script(bench.home / "way.lua", server.key, size, unique_keys=keys)
            before = written_bytes(server.pid)
            result = run_wrk(f"{server.url}/agent/bot/", CONNECTIONS, bench.options.seconds if number else 1, script, [server.pid])
            wait_for(lambda server=server: is_projected(server), 120, "the history is written")
            bodies = size * result["requests_per_s"] * (bench.options.seconds if number else 1)
            result["written_for_each_byte"] = (written_bytes(server.pid) - before) / bodies
            if number:  # the first one warms up
                rounds[way].append(result)
    rows, base = [], median_of(rounds["1 KiB"])["requests_per_s"]
    for way, results in rounds.items():
        row = median_of(results)
        rows.append({"way": way, **row, "ratio": row["requests_per_s"] / base, "rounds": results})
    print_table(f"Durable POSTs, {CONNECTIONS} connections", ["way", "requests/s", "of plain", "p50 µs", "p99 µs", "CPU µs/request", "written for each body byte"], [
        [row["way"], f"{row['requests_per_s']:.0f}", f"{row['ratio']:.2f}", f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}", f"{row['cpu_us_per_request']:.1f}",
         f"{row['written_for_each_byte']:.1f}"] for row in rows])  # fmt: skip
    for server in (plain, sealed):
        bench.end(server)
    return rows


# ---- At half of that load.


def build_paced(directory):
    """The open-loop client, from its one source file."""
    program = directory / "paced"
    subprocess.run([shutil.which("clang++-22") or "c++", "-std=c++20", "-O2", "-o", str(program), str(HERE / "paced.cc")], check=True)
    return program


def run_paced(program, server, rate, seconds):
    """POSTs of 1 KiB at random times of this mean rate. p50, p99 and p99.9 in µs from the moment each one was due."""
    request = (f"POST /agent/bot/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n"
               f"Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\r\n{'x' * 1024}")  # fmt: skip
    port, before = server.url.rsplit(":", 1)[1], cpu_seconds([server.pid])
    done = subprocess.run([str(program), port, f"{rate:.1f}", str(seconds), "512"], input=request, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout)
    answered = result.pop("answered")
    return {"asked_per_s": rate, "cpu_us_per_request": (cpu_seconds([server.pid]) - before) * 1e6 / answered, **result}


def bench_half(bench):
    program, server = build_paced(bench.home), start(bench, "half")
    put_nginx(bench, server, "bot")
    script = write_script(bench.home / "half.lua", server.key, 1024)
    rows = []
    for number in range(bench.options.rounds + 1):
        full = run_wrk(f"{server.url}/agent/bot/", CONNECTIONS, bench.options.seconds if number else 1, script, [server.pid])["requests_per_s"]
        wait_for(lambda: is_projected(server), 120, "the history is written")
        if number:  # the first one warms up
            rows.append({"full_per_s": full, **run_paced(program, server, full / 2, bench.options.seconds + 1)})
    row = median_of(rows)
    print_table("Durable POSTs of 1 KiB, open loop at half of what 64 connections reached",
                ["at 64 connections/s", "asked/s", "answered/s", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs/request"], [
        [f"{row['full_per_s']:.0f}", f"{row['asked_per_s']:.0f}", f"{row['requests_per_s']:.0f}", f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}", f"{row['p99.9_us']:.0f}",
         f"{row['cpu_us_per_request']:.1f}"]])  # fmt: skip
    bench.end(server)
    return rows


# ---- A long backlog.


def pending(server):
    return server.api("GET", "/v1/status")["requests"]["pending"]


def fill(bench, server, names, count):
    """Requests for agents that are not there: they wait."""
    script = write_script(bench.home / "fill.lua", server.key, 1024, [("Prefer", "respond-async")])
    began, each = time.perf_counter(), count // len(names)
    for number, name in enumerate(names):
        while pending(server) < each * (number + 1):
            run_wrk(f"{server.url}/agent/{name}/", CONNECTIONS, 2, script, [server.pid])
    return pending(server), time.perf_counter() - began


def bench_backlog(bench):
    server, names = start(bench, "backlog"), ["b0", "b1", "b2", "b3"]
    for name in names:
        server.put(name, {"command": ["/usr/bin/python3", "agent.py"], "workdir": str(HERE / "agents"), "concurrency": 64, "resources": {"memory": "256Mi", "pids": 256}})
        server.wait_ready(name)
        server.verb(name, "stop")
    waiting, filling_s = fill(bench, server, names, bench.options.backlog)
    result = {"waiting": waiting, "accepted_per_s": waiting / filling_s, "rss_bytes": rss_bytes(server.pid)}
    result.update(recover(server, bench.options.starts))
    result.update(first_delivery(server, names[:1], bench.options.starts))
    result.update(drain(bench, server, names))
    print_table(f"{waiting} requests that wait", ["accepted/s", "memory MiB", "recovery s (killed)", "program ready to first delivery ms"], [
        [f"{result['accepted_per_s']:.0f}", f"{result['rss_bytes'] / 2**20:.0f}", f"{result['recovery_s']:.2f}", f"{result['first_delivery_ms']:.1f}"]])  # fmt: skip
    print_table("They drain while new ones arrive", ["drained/s", "of them new/s", "new: p50 ms", "new: p99 ms", "seconds", "left"], [
        [f"{result['drained_per_s']:.0f}", f"{result['arrived_per_s']:.0f}", f"{result['new_p50_us'] / 1e3:.1f}", f"{result['new_p99_us'] / 1e3:.1f}",
         f"{result['drain_s']:.0f}", result["left"]]])  # fmt: skip
    bench.end(server)
    return result


def recover(server, starts):
    """From the start of the process that follows a SIGKILL until it serves, with everything that waits in memory."""
    times, before = [], pending(server)
    for _ in range(starts):
        server.kill9()
        began = time.perf_counter()
        server.start()
        times.append(time.perf_counter() - began)
        assert pending(server) == before, "recovery lost requests"
    return {"recovery_s": statistics.median(times), "recovery_all_s": times}


def first_delivery(server, names, starts):
    """From the moment in which the program listens to its first request, by its own monotonic clock."""
    gaps = []
    for name in names * starts:
        server.verb(name, "start")
        times = wait_for(lambda name=name: (found := server.call(name, "/times", headers={"Prefer": "wait=10"}).json())["first"] and found, 60)
        gaps.append((times["first"] - times["listening"]) * 1e3)
        server.verb(name, "stop")
    return {"first_delivery_ms": statistics.median(gaps), "first_delivery_all_ms": gaps}


def drain(bench, server, names):
    """The backlog goes out while a caller with 8 connections sends new requests to the same agents and is told 202."""
    put_nginx(bench, server, "bot")
    # The same queues, now with a program that answers at once.
    digest = server.upload(bench.home / f"{server.home.name}-bot-agent")
    for name in names:
        server.put(name, {"command": [NGINX, "-e", "stderr", "-p", "/tmp", "-c", "/app/nginx.conf"], "workdir": digest, "concurrency": 64,
                          "resources": {"memory": "256Mi", "pids": 64}})  # fmt: skip
        server.verb(name, "start", wait=None)
    script = write_script(bench.home / "new.lua", server.key, 1024, [("Prefer", "respond-async")])
    before, began = server.api("GET", "/v1/status")["requests"], time.perf_counter()
    results = []
    while pending(server) > 0 and time.perf_counter() - began < bench.options.drain_seconds:
        results.append(run_wrk(f"{server.url}/agent/{names[len(results) % len(names)]}/", 8, 5, script, [server.pid]))
    took, after = time.perf_counter() - began, server.api("GET", "/v1/status")["requests"]
    done = after["completed"] - before["completed"]
    return {"drained_per_s": done / took, "arrived_per_s": statistics.mean(one["requests_per_s"] for one in results), "drain_s": took,
            "new_p50_us": statistics.median(one["p50_us"] for one in results), "new_p99_us": max(one["p99_us"] for one in results), "left": after["pending"]}  # fmt: skip


# ---- Peers.


class Restate:
    """The server and a service in Node, from npm; `why` says what is missing."""

    def __init__(self, home):
        self.processes, self.why = [], None
        npm = shutil.which("npm")
        if not (npm and NODE):
            self.why = "npm or node is not installed"
            return
        self.home = home
        home.mkdir()
        packages = ["@restatedev/restate-server", "@restatedev/restate-sdk"]
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), *packages], capture_output=True, text=True, timeout=600, check=False)
        programs = sorted(home.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
        if done.returncode != 0 or not programs:
            self.why = f"npm could not install it: {done.stderr.strip().splitlines()[-1:]}"
            return
        try:
            self.start(programs[0])
        except (AssertionError, OSError) as error:
            self.why = f"it did not start: {error}"

    def start(self, program):
        ingress, admin, node, service = free_port(), free_port(), free_port(), free_port()
        shutil.copy(HERE / "agents/restate_service.js", self.home / "service.js")
        environment = {**os.environ, "RESTATE_BASE_DIR": str(self.home / "data"), "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}", "RESTATE_LISTEN_MODE": "tcp",
                       "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}", "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}", "RESTATE_LOG_FILTER": "warn",
                       "RESTATE_LOGGING": "ERROR", "DO_NOT_TRACK": "1", "PORT": str(service)}  # fmt: skip
        with open(self.home / "log", "wb") as log:
            for command in ([str(program), "--no-logo"], [NODE, str(self.home / "service.js")]):
                self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.home))
        self.url = f"http://127.0.0.1:{ingress}/echo/post"
        body = json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode()

        def registered():
            request = urllib.request.Request(f"http://127.0.0.1:{admin}/deployments", body, {"Content-Type": "application/json"})
            return urllib.request.urlopen(request, timeout=10).status in (200, 201)

        wait_for(registered, 60, "Restate takes the service")
        wait_for(lambda: urllib.request.urlopen(urllib.request.Request(self.url, b'"x"', {"Content-Type": "application/json"}), timeout=10).status == 200, 60)

    def pids(self):
        return [self.processes[0].pid]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait(10)


def bench_redis(home, connections, requests):
    """RPUSH of 1 KiB with a flush for each group of commands: the usual home-made queue. Writing alone: nobody delivers."""
    server, client = shutil.which("redis-server"), shutil.which("redis-benchmark")
    if not (server and client):
        return None, "redis-server is not installed"
    home.mkdir()
    port = free_port()
    process = subprocess.Popen([server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", "yes", "--appendfsync", "always", "--save", ""],
                               stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        command = [client, "-p", str(port), "-c", str(connections), "-n", str(requests), "-d", "1024", "-t", "rpush", "--csv"]
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close() is None, 20)
        before = cpu_seconds([process.pid])
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        cpu = cpu_seconds([process.pid]) - before
        fields = [field.strip('"') for field in done.stdout.strip().splitlines()[-1].split(",")]
        return {"requests_per_s": float(fields[1]), "p50_us": float(fields[4]) * 1e3, "p99_us": float(fields[6]) * 1e3, "cpu_us_per_request": cpu * 1e6 / requests}, None
    finally:
        process.terminate()
        process.wait(20)


def bench_peers(bench):
    server = start(bench, "peers")
    put_nginx(bench, server, "bot")
    ways = {"gantry, program nginx": (f"{server.url}/agent/bot/", server.key, [server.pid])}
    if NODE:
        put_node(server, "node")
        ways["gantry, program Node"] = (f"{server.url}/agent/node/", server.key, [server.pid])
    restate = Restate(bench.home / "restate")
    if restate.why:
        print(f"\nRestate is left out: {restate.why}")
    else:
        ways["Restate, service Node"] = (restate.url, None, restate.pids())
    rows = []
    try:
        for connections in bench.options.connections:
            rounds = {way: [] for way in ways}
            for number in range(bench.options.rounds + 1):
                for way, (url, key, pids) in ways.items():
                    script = write_script(bench.home / "peer.lua", key, 1024, unique_keys=bool(key))
                    if not key:
                        text = script.read_text().replace('string.rep("x", 1024)', "'\"' .. string.rep(\"x\", 1022) .. '\"'").replace("octet-stream", "json")
                        script.write_text(text)
                    result = run_wrk(url, connections, bench.options.seconds if number else 1, script, pids)
                    if number:
                        rounds[way].append(result)
            base = median_of(rounds["Restate, service Node"])["requests_per_s"] if not restate.why else None
            for way, results in rounds.items():
                row = median_of(results)
                rows.append({"way": way, "connections": connections, **row, "ratio_to_restate": row["requests_per_s"] / base if base else None, "rounds": results})
            redis, why = bench_redis(bench.home / f"redis-{connections}", connections, 20_000 * bench.options.seconds)
            if redis:
                rows.append({"way": "Redis RPUSH, fsync always", "connections": connections, **redis, "ratio_to_restate": redis["requests_per_s"] / base if base else None})
            else:
                print(f"\nRedis is left out: {why}")
    finally:
        if restate.processes:
            restate.stop()
    print_table("Durable calls of 1 KiB beside Restate, and Redis as a queue", ["way", "connections", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "times Restate"], [
        [row["way"], row["connections"], f"{row['requests_per_s']:.0f}", f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}", f"{row['cpu_us_per_request']:.1f}",
         f"{row['ratio_to_restate']:.1f}" if row["ratio_to_restate"] else "-"] for row in rows])  # fmt: skip
    bench.end(server)
    return rows


PARTS = {"ways": bench_ways, "half": bench_half, "peers": bench_peers, "backlog": bench_backlog}


def main():
    parser = make_parser(__doc__, PARTS, [16, 64, 256])
    parser.add_argument("--backlog", type=int, default=1_000_000, help="requests that wait")
    parser.add_argument("--starts", type=int, default=3, help="recoveries and first deliveries; the median counts")
    parser.add_argument("--drain-seconds", type=int, default=180, help="longest look at the draining backlog")
    run_parts("requests_bench", parser.parse_args(), PARTS)


if __name__ == "__main__":
    main()
