"""The disk of the data directory fills up: callers are told, nothing acknowledged is lost, and service returns by itself."""
import errno
import os
import pathlib
import subprocess

import pytest

from gantry_server import GantryServer, wait_for

SIZE = 192 << 20


@pytest.fixture
def small_disk(home):
    """A file system of its own with 192 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = home / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "none", str(disk)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def fill(path):
    """Takes every byte that is left."""
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC


@pytest.mark.root
def test_a_full_disk_refuses_requests_and_loses_none(small_disk, request):
    server = GantryServer(small_disk / "s")
    request.node.gantry_servers = [server]
    # The disk of the harness's own log must not be the one that fills up.
    server.log_path = pathlib.Path(small_disk.parent / "server.err")
    try:
        server.start()
        run_out_of_space(server, small_disk)
    finally:
        server.end()


def run_out_of_space(server, disk):
    # Its own notes go to its private /tmp: only the disk of the server is full.
    server.deploy("bot", env={"STATE_DIR": "/tmp"}, persistence={"retry": {"policy": "fixed", "max": 100, "initial": "20ms", "cap": "20ms"}})
    answered = {}

    def send(number):
        reply = server.call("bot", f"/do/k{number}", "POST", os.urandom(16_000))
        if reply.status in (200, 202):
            answered[f"/do/k{number}"] = reply.headers["Gantry-Request-Id"]
        return reply

    for number in range(20):
        assert send(number).status == 200
    filler = disk / "filler"
    fill(filler)

    # What was written ahead lasts for a while; then callers are refused.
    number, refused = 20, None
    while refused is None and number < 3000:
        fill(filler)
        reply = send(number)
        number += 1
        if reply.status not in (200, 202):
            refused = reply
    assert refused is not None, "a full disk was never noticed"
    assert refused.status == 503, refused
    assert refused.json()["code"] == "unavailable" and refused.json()["retryable"] and refused.headers["Retry-After"]
    for extra in range(5):
        assert send(number + extra).status == 503
    number += 5
    assert server.request("GET", "/readyz").status == 503
    assert not server.api("GET", "/v1/status")["journal"]["writable"]
    assert server.call("bot", "/self").status == 200, "what needs no journal goes on"
    assert '"level":"error"' in server.log_path.read_text()

    filler.unlink()
    wait_for(lambda: server.request("GET", "/readyz").status == 200, 60, "service returns without a restart")
    wait_for(lambda: send(99_999).status == 200, 30, "requests are taken again")
    check(server, answered)
    server.restart()
    server.wait_ready("bot")
    check(server, answered)


def check(server, answered):
    """Everything that was acknowledged is completed, and was executed."""
    wait_for(lambda: not server.requests(status="pending") and not server.requests(status="processing"), 60)
    found = {row["target"]: row for row in server.requests(agent="bot")}
    for target, request_id in answered.items():
        assert found[target]["status"] == "completed", found[target]
    assert {found[target]["id"] for target in answered} >= set(answered.values()) - {None}
    started = {f"/do/{key}" for word, key, _, _ in server.agent_log("bot") if word == "start"}
    assert started >= set(answered)
    assert started <= set(found), "something was forwarded that the journal does not know"
