"""A.1: an agent opens no port on the host, and agents reach neither each other nor the server."""
import os
import pathlib
import socket

from gantry_server import descendants

# Far from anything that a machine offers, and different, so that a hit is a hit.
PORT_A, PORT_B = 38471, 38472


def host_listeners():
    """Inode → port of every TCP socket that listens in this network namespace."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A":
                found[row[9]] = int(row[1].rsplit(":", 1)[1], 16)
    return found


def listening_ports_of(pids):
    """Ports in this network namespace on which one of the processes listens."""
    inodes = set()
    for pid in pids:
        try:
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(fd)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            continue
    return {port for inode, port in host_listeners().items() if inode in inodes}


def deploy_two(server):
    for name, port in (("a", PORT_A), ("b", PORT_B)):
        server.deploy(name, "insider.py", port=port)


def ask(server, agent, path):
    reply = server.call(agent, path)
    assert reply.status == 200, reply
    return reply.json()


def test_an_agent_opens_no_port_on_the_host(server):
    before = set(host_listeners().values())
    assert not before & {PORT_A, PORT_B}, "another program uses the ports of this test"
    deploy_two(server)
    api_port = int(server.url.rsplit(":", 1)[1])

    sandboxes = [pid for name in "ab" for pid in descendants(server.sandbox_pid(name))]
    assert len(sandboxes) >= 4
    assert listening_ports_of(sandboxes) == set()
    assert listening_ports_of(descendants(server.pid)) == {api_port}
    assert not set(host_listeners().values()) & {PORT_A, PORT_B}
    for port in (PORT_A, PORT_B):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0

    # The programs do listen, each where only it is.
    assert ask(server, "a", "/sockets") == [PORT_A]
    assert ask(server, "b", "/sockets") == [PORT_B]


def test_every_agent_has_namespaces_of_its_own(server):
    deploy_two(server)
    for kind in ("net", "pid", "mnt", "ipc", "uts", "user", "cgroup"):
        seen = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (os.getpid(), server.sandbox_pid("a"), server.sandbox_pid("b"))}
        assert len(seen) == 3, f"{kind} is shared"
    who = ask(server, "a", "/who")
    assert who["interfaces"] == ["lo"]
    assert who["uid"] != 0
    assert who["processes"] <= 3
    assert who["secret"] is None, "the server's environment reached the agent"


def test_two_agents_cannot_reach_each_other_nor_the_server(server):
    deploy_two(server)
    assert ask(server, "a", f"/connect?host=127.0.0.1&port={PORT_A}")["connected"], "an agent reaches itself"
    api_port = server.url.rsplit(":", 1)[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect(("192.0.2.1", 9))
            outside = route.getsockname()[0]
        except OSError:
            outside = "127.0.0.2"
    for host in ("127.0.0.1", "::1", "localhost", outside):
        for port in (PORT_B, api_port):
            assert not ask(server, "a", f"/connect?host={host}&port={port}")["connected"], f"{host}:{port} answered"


def test_what_was_achieved_is_told(server):
    server.deploy("a", "insider.py")
    (instance,) = server.agent("a")["instances"]
    isolation = instance["isolation"]
    assert isolation["driver"] == "bubblewrap"
    assert set(isolation["namespaces"]) >= {"user", "pid", "mount", "ipc", "uts", "net"}
    assert isolation["seccomp"] == "enforced"
    grades = {limit["name"]: limit["grade"] for limit in instance["limits"]}
    assert {"memory", "cpu", "pids", "tmp", "workspace"} <= set(grades)
    assert set(grades.values()) <= {"enforced", "best_effort", "none"}
