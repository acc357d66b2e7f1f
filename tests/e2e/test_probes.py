"""Startup, readiness and liveness: who gets requests, who is restarted, and what people are told."""
import pathlib
import threading

from gantry_server import AGENTS, wait_for

FAST = {"interval": "100ms", "timeout": "5s", "retries": 2}


def probes(server, agent, replica=0):
    (instance,) = [row for row in server.api("GET", f"/v1/agents/{agent}/health")["instances"] if row["replica"] == replica]
    return {probe["probe"]: probe for probe in instance["probes"]}


def touch(server, agent, name):
    assert server.call(agent, f"/touch/{name}", "POST", headers={"Prefer": "wait=60"}).status == 200


def workspace(server, agent, replica=0):
    return pathlib.Path(server.home) / "data" / "workspaces" / server.agent(agent)["id"] / str(replica)


def test_an_instance_that_is_not_ready_keeps_its_work_and_gets_no_more(server):
    server.deploy("bot", "probed.py", health={**FAST, "readiness": {"endpoint": "/ready", "json": {"db.state": "up"}}})
    born = server.call("bot", "/").json()["born"]
    running = {}
    worker = threading.Thread(target=lambda: running.update(reply=server.call("bot", "/work?ms=1500", "POST", timeout=60)))
    worker.start()
    wait_for(lambda: server.agent("bot")["processing"] == 1, 30, "the request is under way")
    touch(server, "bot", "down")
    agent = wait_for(lambda: (now := server.agent("bot"))["ready"] == 0 and now, 30, "it is not ready")
    assert agent["status"] == "degraded" and agent["instances"][0]["status"] == "unready"
    assert agent["reason"] == 'not ready: 200 from /ready, but db.state is "down", not "up" (2 probes in a row)'
    waits = server.call("bot", "/work", "POST")
    assert waits.status == 202, "accepted, and kept until it is ready"
    worker.join(60)
    assert running["reply"].status == 200, "what was under way is not disturbed"
    (workspace(server, "bot") / "down").unlink()
    server.wait_ready("bot")
    server.wait_finished(waits.headers["Gantry-Request-Id"])
    assert server.call("bot", "/").json()["born"] == born, "nobody restarted it"
    assert server.agent("bot")["restarts"] == 0
    assert {row["target"] for row in server.requests(agent="bot")} == {"/work?ms=1500", "/work", "/touch/down"}, "probes are no requests"


def test_the_other_replica_serves_meanwhile(server):
    server.deploy("bot", "probed.py", replicas=2, health={**FAST, "readiness": {"endpoint": "/ready"}})
    pids = {row["replica"]: row["pid"] for row in server.agent("bot")["instances"]}
    (workspace(server, "bot", 0) / "unready").touch()
    wait_for(lambda: server.agent("bot")["ready"] == 1, 30, "one is not ready")
    answers = {server.call("bot", "/").json()["born"] for _ in range(10)}
    assert len(answers) == 1
    (workspace(server, "bot", 0) / "unready").unlink()
    server.wait_ready("bot", 2)
    assert {row["replica"]: row["pid"] for row in server.agent("bot")["instances"]} == pids


def test_a_program_is_asked_inside(server):
    check = ["sh", "-c", 'echo "$(id -u) in $(pwd)"; test -e /workspace/up || { echo "no file yet" >&2; exit 3; }']
    server.deploy("bot", "probed.py", wait=False, health={"startup": {"command": check, "interval": "100ms"}, "grace": "2m"})
    probe = wait_for(lambda: probes(server, "bot").get("startup"), 30, "it was asked")
    assert probe["kind"] == "exec" and not probe["healthy"]
    assert probe["detail"].startswith("exit 3: ") and ("no file yet" in probe["detail"] or " in /app" in probe["detail"])
    (workspace(server, "bot") / "up").touch()
    server.wait_ready("bot")
    assert probes(server, "bot")["startup"]["healthy"]


def test_a_check_that_hangs_is_ended_and_leaves_nothing(server):
    hanging = {"command": ["sh", "-c", "sleep 1000 & wait"], "timeout": "200ms", "interval": "100ms", "retries": 100}
    server.deploy("bot", "probed.py", health={**FAST, "liveness": hanging}, resources={"pids": 24, "memory": "128Mi"})
    wait_for(lambda: (probe := probes(server, "bot").get("liveness")) and probe["consecutive_failures"] >= 8, 60, "it hung often")
    assert probes(server, "bot")["liveness"]["detail"] == "no end within 200ms"
    assert server.agent("bot")["status"] == "running", "more tries are left"


def test_a_program_that_is_not_alive_is_restarted(server):
    server.deploy("bot", "probed.py", health={**FAST, "liveness": {"endpoint": "/live", "status": "200-299"}})
    born = server.call("bot", "/").json()["born"]
    touch(server, "bot", "dead")
    wait_for(lambda: "not healthy: 500 from /live" in str(server.agent("bot")["reason"]), 30, "the reason is told")
    (workspace(server, "bot") / "dead").unlink()
    server.wait_ready("bot")
    assert server.call("bot", "/").json()["born"] != born


def test_on_unhealthy_stop_waits_for_a_person(server):
    server.deploy("bot", "probed.py", health={**FAST, "on_unhealthy": "stop", "liveness": {"endpoint": "/live"}})
    touch(server, "bot", "dead")
    wait_for(lambda: server.agent("bot")["instances"][0]["status"] == "exited", 60, "it was stopped")
    agent = server.agent("bot")
    assert agent["status"] == "degraded" and "not healthy: 500 from /live" in agent["reason"]
    assert agent["restarts"] == 0
    (workspace(server, "bot") / "dead").unlink()
    assert server.cli("start", "bot").returncode == 0
    server.wait_ready("bot")


def test_on_unhealthy_none_only_tells(server):
    server.deploy("bot", "probed.py", health={**FAST, "on_unhealthy": "none", "liveness": {"endpoint": "/live"}})
    born = server.call("bot", "/").json()["born"]
    touch(server, "bot", "dead")
    wait_for(lambda: server.agent("bot")["status"] == "degraded", 30, "it is told")
    assert server.cli("health", "bot").returncode == 1
    reply = server.call("bot", "/")
    assert reply.status == 200 and reply.json()["born"] == born


def test_a_deploy_waits_for_the_new_revision(server):
    words = ["deploy", "--name", "bot", "--workdir", str(AGENTS), "--command", "python3 probed.py"]
    assert server.cli(*words).returncode == 0
    for delay in ("1", "0.5"):
        born = server.call("bot", "/").json()["born"]
        done = server.cli(*words, "--env", f"SLOW_START={delay}")
        assert done.returncode == 0, done
        assert server.call("bot", "/").json()["born"] != born, "the answer is the new one's"


def test_a_deploy_that_fails_says_what_still_serves(server):
    words = ["deploy", "--name", "bot", "--workdir", str(AGENTS), "--command", "python3 probed.py"]
    assert server.cli(*words).returncode == 0
    born = server.call("bot", "/").json()["born"]
    done = server.cli(*words, "--env", "CRASH=3", "--timeout", "60s")
    assert done.returncode == 6, done
    assert "revision 2 does not become ready: exit 3; an older one still serves" in done.stderr
    assert "gantry logs bot" in done.stderr
    assert server.call("bot", "/").json()["born"] == born
    agent = server.agent("bot")
    assert agent["stuck"] and agent["ready"] == 1 and agent["up_to_date"] == 0
    assert {row["revision"] for row in agent["instances"]} == {1, 2}
