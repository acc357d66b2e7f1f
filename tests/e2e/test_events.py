"""What `gantry events` tells of the life of real agents."""
import json
import subprocess
import threading

from gantry_server import binary, wait_for


def events_of(server, **query):
    page = server.api("GET", "/v1/events?limit=1000" + "".join(f"&{name}={value}" for name, value in query.items()))
    return page["data"][::-1]


def types_of(server, **query):
    return [event["type"] for event in events_of(server, **query)]


def wait_for_event(server, kind, count=1, **query):
    return wait_for(lambda: (found := [event for event in events_of(server, **query) if event["type"] == kind])[count - 1:] and found, 60, f"{count} {kind}")


def test_the_whole_life_of_an_agent_is_told(server):
    server.deploy("bot", env={"N": "1"})
    wait_for_event(server, "instance.ready")
    server.kill_agent("bot")
    (exited,) = wait_for_event(server, "instance.exit")
    assert exited["reason"] == "signal 9 (SIGKILL)" and exited["agent"] == "bot" and exited["replica"] == 0
    (restart,) = wait_for_event(server, "instance.restart")
    assert restart["reason"] == "after signal 9 (SIGKILL)" and restart["instance"] == exited["instance"]
    server.wait_ready("bot")
    server.api("POST", "/v1/agents/bot/scale?wait=60s", {"replicas": 2})
    server.deploy("bot", env={"N": "2"}, replicas=2)
    wait_for_event(server, "agent.rolled_out")
    server.verb("bot", "stop")
    server.api("DELETE", "/v1/agents/bot", timeout=90)
    wait_for_event(server, "agent.remove")
    told = types_of(server)
    assert [kind for kind in told if kind.startswith("agent.")] == [
        "agent.deploy", "agent.scale", "agent.deploy", "agent.rollout", "agent.rolled_out", "agent.stop", "agent.remove"]  # fmt: skip
    assert told.index("instance.start") < told.index("instance.ready") < told.index("instance.exit") < told.index("instance.restart")
    (scaled,) = [event for event in events_of(server) if event["type"] == "agent.scale"]
    assert scaled["reason"] == "1 to 2 replicas"
    assert [event["revision"] for event in events_of(server, type="deploy")] == [1, 2]
    assert types_of(server, agent="nobody") == [] and set(types_of(server, type="exit")) == {"instance.exit"}
    assert server.request("GET", "/v1/events?type=instance.exti").json()["hint"] == "did you mean 'instance.exit'?"


def test_a_program_that_keeps_failing_is_told_with_its_reasons(server):
    server.deploy("bad", command=["python3", "-c", "raise SystemExit(3)"], wait=False)
    (loop,) = wait_for_event(server, "agent.crash_loop")
    assert loop["reason"] == "exit 3"
    assert {event["reason"] for event in events_of(server, type="exit")} == {"exit 3"}
    server.deploy("sick", health={"endpoint": "/health", "interval": "100ms", "retries": 2})
    server.call("sick", "/sick", "POST")
    (unhealthy,) = wait_for_event(server, "instance.unhealthy", agent="sick")
    assert "503 from /health" in unhealthy["reason"], unhealthy
    server.deploy("missing", command=["/no/such/program"], wait=False)
    failed = wait_for_event(server, "instance.start_failed", agent="missing")
    assert "No such file" in failed[0]["reason"], failed


def test_a_follower_misses_nothing_over_a_restart_of_the_server(server):
    server.deploy("bot")
    wait_for_event(server, "instance.ready")
    follower = subprocess.Popen([binary(), "events", "-f", "-o", "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=server.environment)  # fmt: skip
    lines = []
    threading.Thread(target=lambda: lines.extend(iter(follower.stdout.readline, "")), daemon=True).start()

    def told():
        return [json.loads(line) for line in list(lines)]

    wait_for(lambda: any(event["type"] == "instance.ready" for event in told()), 60, "the latest are printed")
    server.restart()
    server.api("POST", "/v1/agents/bot/scale", {"replicas": 0})
    wait_for(lambda: any(event["type"] == "agent.scale" for event in told()), 60, "it goes on after the restart")
    seqs = [event["seq"] for event in told()]
    assert seqs == sorted(set(seqs)), "each once, in order"
    assert seqs == [event["seq"] for event in events_of(server) if event["seq"] <= seqs[-1]]
    follower.kill()
    follower.wait(30)
