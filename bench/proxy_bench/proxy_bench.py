#!/usr/bin/python3
"""The product's figures: proxying beside nginx in the same run, start times, idle agents, a full journal.

    bench/proxy_bench/proxy_bench.py build/release                        everything, about 4 minutes
    bench/proxy_bench/proxy_bench.py build/release --only proxy --rounds 5
    bench/proxy_bench/proxy_bench.py build/dev --seconds 1 --rounds 1 --records 20000 --agents 10    does it work?

Prints tables and writes JSON (--json FILE, default BUILD/proxy_bench.json). It asserts no time: it tells what is.
"""
import argparse
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

TICKS = os.sysconf("SC_CLK_TCK")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
BODY_BYTES = 1024
# A sandbox and a host program must be allowed the same, or the comparison is none.
UPSTREAM_WORKERS = 1


# ---- Processes and what they use.


def cpu_seconds(pids):
    """User and system time of processes with all their threads."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_bytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def pss_bytes(pid):
    """Its share of memory: pages that several processes map are divided among them."""
    return int(re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1)) * 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_answer(port, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"nothing answers on port {port}")


NGINX_CONF = """
daemon off; master_process {master}; worker_processes {workers}; pid {dir}/nginx.pid; error_log stderr error;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  {upstream}
  server {{ {server} }}
}}
"""
ANSWER = "location / { return 200 'a small fixed answer\\n'; }"


class Nginx:
    """One nginx on the host."""

    def __init__(self, directory, workers, server, upstream=""):
        self.port = free_port()
        directory.mkdir()
        config = directory / "nginx.conf"
        listen = f"listen 127.0.0.1:{self.port} reuseport; {server}"
        config.write_text(NGINX_CONF.format(master="on", workers=workers, dir=directory, upstream=upstream, server=listen))
        self.process = subprocess.Popen([NGINX, "-e", "stderr", "-p", str(directory), "-c", str(config)])
        wait_answer(self.port)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.workers = [int(pid) for pid in children]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


# ---- Proxying.


def run_wrk(url, connections, seconds, script, pids):
    """One run: requests per second, p50 and p99 in µs, CPU µs per request."""
    before = cpu_seconds(pids)
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url], capture_output=True, text=True, check=True)
    after = cpu_seconds(pids)
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"errors from {url}:\n{text}")

    def latency(percent):
        number, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)", text, re.M).groups()
        return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]

    count = int(re.search(r"(\d+) requests in", text).group(1))
    return {"requests_per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p50_us": latency(50), "p99_us": latency(99),
            "cpu_us_per_request": (after - before) * 1e6 / count}  # fmt: skip


def write_script(path, key=None):
    lines = ['wrk.method = "POST"', f'wrk.body = string.rep("x", {BODY_BYTES})', 'wrk.headers["Content-Type"] = "application/octet-stream"']
    if key:
        lines.append(f'wrk.headers["Authorization"] = "Bearer {key}"')
    path.write_text("\n".join(lines) + "\n")
    return path


def nginx_agent(directory):
    """The workdir of an agent that is nginx with a fixed answer."""
    directory.mkdir()
    server = "listen 127.0.0.1:8000; " + ANSWER
    (directory / "nginx.conf").write_text(NGINX_CONF.format(master="off", workers=1, dir="/tmp", upstream="", server=server))
    return directory


def bench_proxy(bench):
    home, server = bench.home, bench.server("proxy")
    upstream = Nginx(home / "upstream", UPSTREAM_WORKERS, ANSWER)
    forward = "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; }"
    peer = Nginx(home / "peer", 2, forward, f"upstream up {{ server 127.0.0.1:{upstream.port}; keepalive 512; keepalive_requests 100000000; }}")
    workdir = nginx_agent(home / "agent")
    spec = {"command": [NGINX, "-e", "stderr", "-p", "/tmp", "-c", "/app/nginx.conf"], "workdir": str(workdir), "concurrency": 512,
            "resources": {"memory": "512Mi", "cpu": os.cpu_count(), "pids": 64}}  # fmt: skip
    workdir = server.upload(workdir)
    server.put("durable", {**spec, "workdir": workdir})
    server.put("passing", {**spec, "workdir": workdir, "persistence": {"enabled": False}})
    for name in ("durable", "passing"):
        server.wait_ready(name)
    keyed, plain = write_script(home / "keyed.lua", server.key), write_script(home / "plain.lua")
    ways = {
        "nginx proxy_pass": (f"http://127.0.0.1:{peer.port}/", plain, peer.workers),
        "gantry pass-through": (f"{server.url}/agent/passing/", keyed, [server.pid]),
        "gantry durable": (f"{server.url}/agent/durable/", keyed, [server.pid]),
    }
    rows = []
    for connections in bench.options.connections:
        rounds = {name: [] for name in ways}
        for name, (url, script, pids) in ways.items():
            run_wrk(url, connections, 1, script, pids)  # warm
        for _ in range(bench.options.rounds):
            for name, (url, script, pids) in ways.items():
                rounds[name].append(run_wrk(url, connections, bench.options.seconds, script, pids))
        for name, results in rounds.items():
            row = {key: statistics.median(result[key] for result in results) for key in results[0]}
            base = statistics.median(result["requests_per_s"] for result in rounds["nginx proxy_pass"])
            rows.append({"way": name, "connections": connections, **row, "ratio_to_nginx": row["requests_per_s"] / base, "rounds": results})
    for nginx in (peer, upstream):
        nginx.stop()
    print_table("Proxying 1 KiB POSTs", ["way", "connections", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "of nginx"], [
        [row["way"], row["connections"], f"{row['requests_per_s']:.0f}", f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}",
         f"{row['cpu_us_per_request']:.1f}", f"{row['ratio_to_nginx']:.2f}"] for row in rows])  # fmt: skip
    bench.end(server)
    return rows


# ---- Start to first answer.


def build_tiny(directory):
    directory.mkdir()
    subprocess.run([shutil.which("clang-22") or "cc", "-O2", "-o", str(directory / "tiny"), str(pathlib.Path(__file__).parent / "tiny.c")], check=True)
    return directory


def first_answer_alone(program):
    """From fork to the first answer, for the program on the host."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen([str(program)], env={"PORT": str(port)})
    try:
        while True:
            with socket.socket() as peer:
                if peer.connect_ex(("127.0.0.1", port)) != 0:
                    continue
                peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                assert peer.recv(100).startswith(b"HTTP/1.1 200")
                return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def first_answer_gantry(server, name):
    """From the call that starts the agent to the answer of a request that was sent right behind it."""
    server.verb(name, "stop")
    headers = {"Authorization": f"Bearer {server.key}", "Content-Length": "0"}
    control, caller = server.connection(), server.connection()
    control.connect()
    caller.connect()
    began = time.perf_counter()
    control.request("POST", f"/v1/agents/{name}/start", headers=headers)
    caller.request("POST", f"/agent/{name}/", headers={**headers, "Prefer": "wait=30"})
    answer = caller.getresponse()
    answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, answer.status
    control.getresponse().read()
    return took


def bench_start(bench):
    server, workdir = bench.server("start"), build_tiny(bench.home / "tiny")
    server.put("tiny", {"command": ["/app/tiny"], "workdir": str(workdir), "grace": "0s"})
    server.wait_ready("tiny")
    alone = [first_answer_alone(workdir / "tiny") * 1e3 for _ in range(bench.options.starts)]
    ours = [first_answer_gantry(server, "tiny") * 1e3 for _ in range(bench.options.starts)]
    result = {"alone_p50_ms": statistics.median(alone), "gantry_p50_ms": statistics.median(ours), "gantry_max_ms": max(ours),
              "above_own_start_p50_ms": statistics.median(ours) - statistics.median(alone), "starts": bench.options.starts}  # fmt: skip
    print_table("Start to first answered request, p50", ["program alone ms", "in a sandbox ms", "above its own start ms", "slowest ms"], [
        [f"{result[key]:.1f}" for key in ("alone_p50_ms", "gantry_p50_ms", "above_own_start_p50_ms", "gantry_max_ms")]])  # fmt: skip
    bench.end(server)
    return result


# ---- Idle agents.


def bench_idle(bench):
    from gantry_server import descendants, wait_for

    server, workdir = bench.server("idle"), build_tiny(bench.home / "idle-tiny")
    digest, count = server.upload(workdir), bench.options.agents
    before = rss_bytes(server.pid)
    helpers = set(descendants(server.pid))
    began = time.perf_counter()
    for number in range(count):
        server.put(f"idle-{number}", {"command": ["/app/tiny"], "workdir": digest, "grace": "0s", "resources": {"memory": "16Mi", "pids": 16}})
    declared = time.perf_counter() - began
    wait_for(lambda: server.api("GET", "/v1/status")["instances"]["ready"] == count, 300, "all agents are ready")
    took = time.perf_counter() - began
    added = set(descendants(server.pid)) - helpers
    for agent in server.api("GET", "/v1/agents?limit=1000")["data"]:
        added |= {pid for instance in agent["instances"] for pid in descendants(instance["pid"])}
    names = {pid: pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in added}
    machinery = sum(pss_bytes(pid) for pid, name in names.items() if name != "tiny")
    result = {"agents": count, "declared_s": declared, "ready_s": took, "each_ms": took / count * 1e3, "server_rss_each_bytes": (rss_bytes(server.pid) - before) / count,
              "sandbox_pss_each_bytes": machinery / count, "server_rss_bytes": rss_bytes(server.pid)}  # fmt: skip
    print_table(f"{count} idle agents", ["all ready s", "each ms", "server memory each KiB", "sandbox memory each KiB", "server RSS MiB"], [
        [f"{took:.2f}", f"{result['each_ms']:.1f}", f"{result['server_rss_each_bytes'] / 1024:.0f}", f"{result['sandbox_pss_each_bytes'] / 1024:.0f}",
         f"{result['server_rss_bytes'] / 2**20:.1f}"]])  # fmt: skip
    bench.end(server)
    return result


# ---- A long history.


def ready_times(server, stop, count):
    times, memory = [], []
    for _ in range(count):
        stop()
        began = time.perf_counter()
        server.start()
        times.append((time.perf_counter() - began) * 1e3)
        memory.append(rss_bytes(server.pid))
    return {"ready_p50_ms": statistics.median(times), "rss_bytes": statistics.median(memory)}


def fill_journal(bench, server, records):
    """Through the durable path, as users fill it."""
    workdir = nginx_agent(bench.home / "fill-agent")
    server.put("fill", {"command": [NGINX, "-e", "stderr", "-p", "/tmp", "-c", "/app/nginx.conf"], "workdir": str(workdir), "concurrency": 512})
    server.wait_ready("fill")
    script = write_script(bench.home / "fill.lua", server.key)
    while (reached := server.api("GET", "/v1/status")["journal"]["durable_seq"]) < records:
        run_wrk(f"{server.url}/agent/fill/", 64, 2, script, [server.pid])
    server.verb("fill", "stop")
    return reached


def bench_journal(bench):
    server, rows = bench.server("journal"), []
    for wanted in (0, bench.options.records):
        reached = fill_journal(bench, server, wanted) if wanted else 0
        for how, stop in (("stopped", server.stop), ("killed", server.kill9)):
            rows.append({"records": reached, "how": how, **ready_times(server, stop, 5)})
    print_table("Server ready and its memory, p50 of 5 starts", ["journal records", "after it was", "ready ms", "RSS MiB"], [
        [row["records"], row["how"], f"{row['ready_p50_ms']:.0f}", f"{row['rss_bytes'] / 2**20:.1f}"] for row in rows])  # fmt: skip
    bench.end(server)
    return rows


# ---- Frame.


def print_table(title, names, rows):
    cells = [names] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


class Bench:
    def __init__(self, options):
        self.options = options
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-", dir=options.directory))
        self.home.chmod(0o755)
        self.servers = []

    def server(self, name):
        from gantry_server import GantryServer

        # The sizes of the product, not those of the tests.
        server = GantryServer(self.home / name, environment={"GANTRY_JOURNAL_SEGMENT_SIZE": "64Mi", "GANTRY_LOG_LEVEL": "warn"})
        self.servers.append(server)
        return server.start()

    def end(self, server):
        server.end()
        shutil.rmtree(server.home, ignore_errors=True)

    def close(self):
        for server in self.servers:
            server.end()
        shutil.rmtree(self.home, ignore_errors=True)


PARTS = {"proxy": bench_proxy, "start": bench_start, "idle": bench_idle, "journal": bench_journal}


def make_parser(description, parts, connections):
    """What every benchmark of the product takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="build directory, such as build/release")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(parts), help="parts: " + ",".join(parts))
    parser.add_argument("--connections", type=lambda text: [int(word) for word in text.split(",")], default=connections, help="such as 1,64")
    parser.add_argument("--seconds", type=int, default=5, help="of one run")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs; the median counts")
    parser.add_argument("--directory", help="where data directories are made; the disk under test (default: the temporary directory)")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: in the build directory)")
    return parser


def run_parts(name, options, parts):
    """Runs the parts that were asked for and writes their figures down."""
    binary = options.build / "src/gantry"
    missing = [what for what, there in (("wrk", shutil.which("wrk")), ("nginx", NGINX), (str(binary), binary.exists())) if not there]
    if missing:
        raise SystemExit(f"{name}: missing {', '.join(missing)}; scripts/install-prerequisites.sh bench, and make build")
    unknown = [part for part in options.only if part not in parts]
    if unknown:
        raise SystemExit(f"{name}: there is no part {', '.join(unknown)}; parts are {', '.join(parts)}")
    os.environ["GANTRY_BIN"] = str(binary.resolve())
    bench, figures = Bench(options), {"machine": f"{platform.platform()}, {os.cpu_count()} cores", "load_before": os.getloadavg()[0]}
    try:
        for part in options.only:
            figures[part] = parts[part](bench)
    finally:
        bench.close()
    path = options.json or options.build / f"{name}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nload before the run {figures['load_before']:.1f}; figures in {path}")


def main():
    parser = make_parser(__doc__, PARTS, [1, 64, 256])
    parser.add_argument("--starts", type=int, default=21)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--records", type=int, default=1_000_000)
    run_parts("proxy_bench", parser.parse_args(), PARTS)


if __name__ == "__main__":
    main()
