"""What the agents of a scope may ask for together: refused, shown, changed, and kept over restarts."""
import json
import threading

from gantry_server import AGENTS, wait_for


def quotas(server):
    return {row["resource"]: row for row in server.api("GET", "/v1/quotas")["data"]}


def spec(**more):
    return {"command": ["python3", "worker.py"], "workdir": str(AGENTS), "resources": {"memory": "64Mi", "pids": 64}, **more}


def test_a_deploy_above_the_quota_is_refused_with_what_to_do(make_server):
    server = make_server(environment={"GANTRY_QUOTA_MEMORY": "192Mi", "GANTRY_QUOTA_AGENTS": "2"}).start()
    server.deploy("bot", resources={"memory": "64Mi", "pids": 64})
    assert quotas(server)["memory"] == {"resource": "memory", "used": 64 << 20, "limit": 192 << 20, "left": 128 << 20, "origin": "config", "set_at": None}
    problem = server.put("big", spec(replicas=3), expect=429)
    assert problem["id"] == "GR0512", problem
    assert "memory: 64Mi of 192Mi are used and it asks for 192Mi more" in problem["message"], problem
    assert problem["hint"].endswith("gantry quota set memory=256Mi"), problem
    assert [agent["name"] for agent in server.api("GET", "/v1/agents")["data"]] == ["bot"]
    scaled = server.cli("scale", "bot", "4")
    assert scaled.returncode == 12 and "GR0512" in scaled.stderr and "64Mi of 192Mi" in scaled.stderr, scaled.stderr
    assert server.agent("bot")["replicas"] == 1
    server.put("second", spec(replicas=2))
    assert server.put("third", spec(replicas=0), expect=429)["id"] == "GR0512", "the third agent"
    # A smaller one is always possible, and room that was given back is there.
    server.api("DELETE", "/v1/agents/second", timeout=90)
    server.put("third", spec(replicas=1))
    shown = server.cli("quota")
    assert shown.returncode == 0 and "128.0 MiB" in shown.stdout and "192.0 MiB" in shown.stdout and "config" in shown.stdout, shown.stdout


def test_limits_that_were_set_hold_at_once_are_audited_and_survive_a_kill(server):
    server.deploy("bot", resources={"memory": "64Mi", "pids": 64})
    changed = server.cli("quota", "set", "instances=2", "memory=1Gi")
    assert changed.returncode == 0, changed.stderr
    assert server.put("more", spec(replicas=2), expect=429)["id"] == "GR0512"
    (entry,) = server.api("GET", "/v1/audit?action=quota.set")["data"]
    assert entry["principal"] == "root" and entry["subject"] == "default/default/dev" and entry["details"]["instances"] == "2", entry
    server.restart()
    assert quotas(server)["instances"]["limit"] == 2 and quotas(server)["instances"]["origin"] == "call"
    assert server.put("more", spec(replicas=2), expect=429)["id"] == "GR0512"
    server.api("PUT", "/v1/quotas", {"agents": 1})
    assert quotas(server)["instances"]["limit"] is None, "PUT gives the others back to the configuration"
    assert server.put("more", spec(), expect=429)["id"] == "GR0512"
    server.api("PATCH", "/v1/quotas", {"agents": None})
    server.put("more", spec(replicas=2))
    for body, message in (({"memroy": 1}, "there is no quota of 'memroy'"), ({"memory": "much"}, "memory: 'much' is neither"), ({"agents": -1}, "agents: '-1' is neither")):
        problem = server.api("PATCH", "/v1/quotas", body, expect=400)
        assert problem["id"] == "GR0513" and message in problem["message"] and problem["hint"], problem


def test_deploys_at_once_cannot_pass_together_what_only_one_may(server):
    digest = server.upload(AGENTS)
    server.api("PATCH", "/v1/quotas", {"instances": 5})
    statuses = []

    def deploy(number):
        resource = {"apiVersion": "gantry/v1", "kind": "Agent", "metadata": {"name": f"bot-{number}"},
                    "spec": {**spec(replicas=2), "workdir": digest}}  # fmt: skip
        statuses.append(server.request("PUT", f"/v1/agents/bot-{number}", json.dumps(resource)).status)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [201] * 2 + [429] * 6
    assert quotas(server)["instances"]["used"] == 4 and quotas(server)["instances"]["left"] == 1


def test_a_configuration_that_means_nothing_stops_the_start(make_server):
    server = make_server(name="wrong", environment={"GANTRY_QUOTA_MEMORY": "much"})
    process = server.spawn()
    assert process.wait(60) != 0
    wait_for(lambda: "quota_memory: 'much' is neither a size such as 8Gi nor 'none'" in server.log_tail(), 20, "the reason is told")
    assert "GR0701" in server.log_tail()
