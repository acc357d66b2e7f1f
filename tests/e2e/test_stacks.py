"""Stacks: several agents in one file, planned, ordered by what they depend on, pruned, exported and imported."""
import json
import shutil

import pytest
import yaml

from gantry_server import AGENTS, ROOT, wait_for

STACK = """apiVersion: agentainer/v1
kind: AgentDeployment
metadata:
  name: my-agent-stack
spec:
  agents:
    - name: vector-db
      command: [python3, worker.py]
      workdir: ./program
      env:
        COLLECTION: embeddings
      grace: 1s
      dependencies:
        - llm-processor
    - name: llm-processor
      command: [python3, worker.py]
      workdir: ./program
      replicas: 2
      env:
        MODEL_NAME: gpt-4
        API_KEY: ${SECRET_API_KEY}
      grace: 1s
      resources:
        memory: 256Mi
        cpu: 1000m
      healthCheck:
        endpoint: /health
        interval: 30s
      persistence:
        enabled: true
        retryPolicy: exponential
"""
ENVIRONMENT = {"SECRET_API_KEY": "k-12345"}


@pytest.fixture
def project(home):
    directory = home / "project"
    (directory / "program").mkdir(parents=True)
    shutil.copy(AGENTS / "worker.py", directory / "program")
    (directory / "agents.yaml").write_text(STACK)
    return directory


@pytest.fixture
def stack(server, project):
    """Runs `gantry` in the project; `stack("deploy", …)` must succeed, `stack.run` takes what comes."""

    def run(*words, environment=None, **options):
        return server.cli(*words, directory=project, environment={**ENVIRONMENT, **(environment or {})}, **options)

    def call(*words, **options):
        done = run(*words, **options)
        assert done.returncode == 0, f"gantry {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    call.run, call.file = run, project / "agents.yaml"
    return call


def instances(server, name):
    return {instance["id"]: (instance["pid"], instance["started_at"]) for instance in server.agent(name)["instances"]}


def plan_of(stack, *words):
    return {step["name"]: step for step in json.loads(stack("deploy", "--config", "agents.yaml", "--dry-run", "-o", "json", *words))}


def test_the_file_of_the_source_document_becomes_a_running_stack(server, stack):
    assert set(step["action"] for step in plan_of(stack).values()) == {"create"}
    assert server.api("GET", "/v1/agents")["data"] == []
    stack("deploy", "--config", "agents.yaml")
    llm, db = server.agent("llm-processor"), server.agent("vector-db")
    assert llm["ready"] == 2 and db["ready"] == 1
    assert llm["spec"]["resources"]["memory"] == "256Mi" and llm["spec"]["health"]["endpoint"] == "/health"
    assert llm["labels"] == {"gantry/stack": "my-agent-stack"} == db["labels"]
    assert server.call("llm-processor", "/environment").json()["API_KEY"] == "k-12345"
    assert db["depends_on"] == ["llm-processor"] and db["waits_for"] == []
    first_ready = min(instance["ready_at"] for instance in llm["instances"])
    assert all(instance["started_at"] >= first_ready for instance in db["instances"])


def test_applying_again_changes_nothing_and_a_change_is_planned_field_by_field(server, stack):
    stack("deploy", "--config", "agents.yaml")
    before = instances(server, "llm-processor"), instances(server, "vector-db")
    assert set(step["action"] for step in plan_of(stack).values()) == {"none"}
    assert stack.run("diff", "agents.yaml").returncode == 0
    assert set(row["result"] for row in json.loads(stack("deploy", "--config", "agents.yaml", "-o", "json"))) == {"unchanged"}
    assert (instances(server, "llm-processor"), instances(server, "vector-db")) == before

    stack.file.write_text(STACK.replace("gpt-4", "gpt-5"))
    differs = stack.run("diff", "agents.yaml", environment={"SECRET_API_KEY": "another"})
    assert differs.returncode == 1
    assert "env.MODEL_NAME: gpt-4 -> gpt-5" in differs.stdout
    assert "env.API_KEY: another value of ${SECRET_API_KEY}" in differs.stdout
    assert "k-12345" not in differs.stdout and "another\n" not in differs.stdout
    changes = plan_of(stack)["llm-processor"]["changes"]
    assert changes == [{"field": "env.MODEL_NAME", "from": "gpt-4", "to": "gpt-5", "hidden": False}]
    stack("deploy", "--config", "agents.yaml")
    # The one that depends on it went on with its program.
    assert server.agent("llm-processor")["revision_number"] == 2
    assert instances(server, "vector-db") == before[1]
    assert set(step["action"] for step in plan_of(stack).values()) == {"none"}


def test_prune_removes_agents_of_the_same_stack_only(server, stack):
    server.deploy("stranger", wait=False)
    stack("deploy", "--config", "agents.yaml")
    without = yaml.safe_load(STACK)
    without["spec"]["agents"] = [agent for agent in without["spec"]["agents"] if agent["name"] == "llm-processor"]
    stack.file.write_text(yaml.safe_dump(without))
    assert "vector-db" not in plan_of(stack)
    assert plan_of(stack, "--prune")["vector-db"]["action"] == "remove"
    refused = stack.run("deploy", "--config", "agents.yaml", "--prune")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert server.cli("list", "-o", "name").stdout.split() == ["llm-processor", "stranger", "vector-db"]
    stack("deploy", "--config", "agents.yaml", "--prune", "--yes")
    assert server.cli("list", "-o", "name").stdout.split() == ["llm-processor", "stranger"]
    # A stack that is empty can be pruned too.
    stack.file.write_text("apiVersion: gantry/v1\nkind: AgentDeployment\nmetadata: { name: my-agent-stack }\nspec: { agents: [] }\n")
    stack("deploy", "--config", "agents.yaml", "--prune", "--yes")
    assert server.cli("list", "-o", "name").stdout.split() == ["stranger"]


def test_an_agent_waits_for_the_one_it_depends_on_also_after_a_restart_of_the_server(server, stack):
    stack("deploy", "--config", "agents.yaml")
    server.verb("llm-processor", "stop")
    assert server.agent("vector-db")["status"] == "running", "what runs is not disturbed"
    server.verb("vector-db", "stop")
    server.verb("vector-db", "start", wait=None)

    def waits():
        agent = server.agent("vector-db")
        return agent["waits_for"] == ["llm-processor"] and agent

    assert wait_for(waits, 60, "vector-db waits")["reason"] == "waits for 'llm-processor'"
    assert "waits for 'llm-processor'" in server.cli("list").stdout
    assert "Waits for:" in server.cli("inspect", "vector-db").stdout
    server.stop()
    server.start()
    wait_for(waits, 60, "vector-db waits after the restart of the server")
    server.verb("llm-processor", "start")
    server.wait_ready("vector-db")
    first_ready = min(instance["ready_at"] for instance in server.agent("llm-processor")["instances"])
    assert server.agent("vector-db")["instances"][0]["started_at"] >= first_ready
    # All of it starts in order when the server does.
    assert server.stop() == 0
    server.start()
    server.wait_ready("vector-db")
    first_ready = min(instance["ready_at"] for instance in server.agent("llm-processor")["instances"] if instance["ready_at"])
    assert server.agent("vector-db")["instances"][0]["started_at"] >= first_ready


def test_circles_and_unknown_dependencies_are_mistakes_with_their_place(server, stack):
    stack.file.write_text(STACK.replace("      replicas: 2\n", "      replicas: 2\n      dependencies: [vector-db]\n"))
    refused = stack.run("deploy", "--config", "agents.yaml")
    assert refused.returncode == 7
    assert "`vector-db -> llm-processor -> vector-db`" in refused.stderr and "agents.yaml:19:22" in refused.stderr
    stack.file.write_text(STACK.replace("        - llm-processor\n", "        - llm-procesor\n"))
    refused = stack.run("validate", "agents.yaml")
    assert refused.returncode == 7 and "did you mean `llm-processor`?" in refused.stderr
    assert server.api("GET", "/v1/agents")["data"] == []
    # The server itself refuses too.
    server.deploy("a", wait=False)
    server.deploy("b", wait=False, depends_on=["a"])
    problem = server.api("PUT", "/v1/agents/a", {"apiVersion": "gantry/v1", "kind": "Agent", "metadata": {"name": "a"},
                                                 "spec": {"command": ["x"], "depends_on": ["b"]}}, expect=400)  # fmt: skip
    assert "a -> b -> a" in problem["message"] and problem["id"] == "GR0509"


def test_a_failure_in_the_middle_leaves_each_agent_old_or_new(server, stack):
    stack("deploy", "--config", "agents.yaml")
    # The server refuses the second one: only it can look for the directory.
    volumes = "COLLECTION: new\n      volumes: [{ host: ./nowhere, container: /data }]\n"
    stack.file.write_text(STACK.replace("gpt-4", "gpt-5").replace("COLLECTION: embeddings\n", volumes))
    failed = stack.run("deploy", "--config", "agents.yaml")
    assert failed.returncode == 7 and "as before: vector-db" in failed.stderr and "GR0510" in failed.stderr
    assert server.agent("llm-processor")["spec"]["env"]["MODEL_NAME"] == "gpt-5"
    assert server.agent("vector-db")["spec"]["env"] == {"COLLECTION": "embeddings"}
    server.wait_ready("llm-processor")
    server.wait_ready("vector-db")


def test_what_is_exported_can_be_imported_and_is_the_same_bytes_again(server, stack):
    stack("deploy", "--config", "agents.yaml")
    exported = stack("export", "--all")
    assert "k-12345" not in exported and "API_KEY: \"${SECRET_API_KEY}\"" in exported
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(exported)] == ["llm-processor", "vector-db"]
    assert stack("export", "--stack", "my-agent-stack") == exported
    assert {row["result"] for row in json.loads(stack("import", "-o", "json", stdin=exported))} == {"unchanged"}
    server.deploy("keeper")
    stack("export", "llm-processor")
    (stack.file.parent / "saved.yaml").write_text(exported)
    server.cli("scale", "llm-processor", "1")
    assert stack("export", "--stack", "my-agent-stack") != exported
    stack("import", "saved.yaml")
    assert stack("export", "--stack", "my-agent-stack") == exported
    without = stack.run("import", "saved.yaml", environment={"SECRET_API_KEY": ""})
    assert without.returncode == 0
    unset = server.cli("import", "saved.yaml", directory=stack.file.parent)
    assert unset.returncode == 7 and "`SECRET_API_KEY` is not set" in unset.stderr


def test_validate_writes_sarif_that_names_rule_place_and_page(server, stack):
    stack.file.write_text(STACK.replace("memory: 256Mi", "memroy: 256Mi"))
    done = stack.run("validate", "agents.yaml", "-o", "sarif")
    assert done.returncode == 7
    log = json.loads(done.stdout)
    assert log["version"] == "2.1.0"
    result = log["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert result["ruleId"] == "GS0201" and place["artifactLocation"]["uri"] == "agents.yaml"
    assert place["region"]["startLine"] == 24 and place["region"]["startColumn"] == 9
    assert log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["helpUri"].endswith("diagnostics.md#gs0201")


def test_an_agent_with_an_image_says_that_images_are_not_run(server, stack):
    stack.file.write_text(STACK.replace("command: [python3, worker.py]\n      workdir: ./program\n      replicas", "image: my-llm:latest\n      replicas"))
    refused = stack.run("deploy", "--config", "agents.yaml")
    assert refused.returncode == 7 and "does not support agents with `image`" in refused.stderr


def test_the_example_runs_as_it_is(server):
    done = server.cli("deploy", "--config", ROOT / "examples/two-agent-stack/agents.yaml")
    assert done.returncode == 0, done.stderr
    assert server.call("index", "/titles/dracula", "POST").json() == {"count": 1}
    assert server.call("answers", "/", "POST", "who are you").json() == {"answer": "you are who"}
    assert server.cli("diff", ROOT / "examples/two-agent-stack/agents.yaml").returncode == 0


VOLUMES = """apiVersion: agentainer/v1
kind: AgentDeployment
metadata: { name: volumes }
spec:
  agents:
    - name: reader
      command: [python3, files.py]
      workdir: ./program
      volumes:
        - host: ./models
          container: /app/models
          readOnly: true
        - host: ./shared
          container: /shared
"""
FILES = """import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, body = 200, open(self.path).read()
        except OSError as error:
            status, body = 404, str(error)
        self.answer(status, body)
    def do_POST(self):
        try:
            status, body = 200, str(open(self.path, 'w').write('written'))
        except OSError as error:
            status, body = 403, str(error)
        self.answer(status, body)
    def answer(self, status, body):
        self.send_response(status); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body.encode())
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"""


@pytest.fixture
def volumes(project, stack):
    """A stack with a program, a directory to read and one to write."""
    (project / "program" / "files.py").write_text(FILES)
    (project / "models").mkdir()
    (project / "models" / "weights").write_text("0.5")
    (project / "shared").mkdir()
    (project / "shared").chmod(0o1777)
    stack.file.write_text(VOLUMES)
    return project


def test_volumes_are_mounted_and_a_read_only_one_cannot_be_written(server, stack, volumes):
    stack("deploy", "--config", "agents.yaml")
    assert server.call("reader", "/app/models/weights").body == b"0.5"
    assert server.call("reader", "/app/files.py").body.decode() == FILES, "the files of the program are there too"
    refused = server.call("reader", "/app/models/new", "POST")
    assert refused.status == 403 and b"Read-only file system" in refused.body
    assert b"Read-only file system" in server.call("reader", "/app/new", "POST").body
    assert server.call("reader", "/shared/result", "POST").status == 200
    assert (volumes / "shared" / "result").read_text() == "written"
    (volumes / "models" / "weights").write_text("0.75")
    assert server.call("reader", "/app/models/weights").body == b"0.75"
    exported = stack("export", "reader")
    assert str(volumes / "models") in exported
    assert {row["result"] for row in json.loads(stack("import", "-o", "json", stdin=exported))} == {"unchanged"}
    # Another way of mounting is another program.
    stack.file.write_text(VOLUMES.replace("readOnly: true", "readOnly: false"))
    assert plan_of(stack)["reader"]["replaces_instances"]


def test_what_may_not_be_mounted_is_refused_whatever_leads_to_it(server, stack, volumes):
    (volumes / "way").symlink_to(server.data)
    (volumes / "top").symlink_to("/")
    for host, why in [("/", "the whole file system cannot be a volume"), ("./top", "the whole file system cannot be a volume"),
                      (server.data, "is in the data directory"), (server.data / "root.key", "is in the data directory"), ("./way", "is in the data directory"),
                      (server.data.parent, "holds the data directory"), ("/etc", "belongs to the system"), ("/proc/self", "belongs to the system"),
                      ("./nowhere", "No such file or directory")]:  # fmt: skip
        stack.file.write_text(VOLUMES.replace("./models", str(host)))
        refused = stack.run("deploy", "--config", "agents.yaml")
        assert refused.returncode == 7 and why in refused.stderr and "GR0510" in refused.stderr, f"{host}: {refused.stderr}"
    assert server.api("GET", "/v1/agents")["data"] == []
    problem = server.put("bot", {"command": ["x"], "volumes": [{"host": "models", "container": "/models"}]}, expect=400)
    assert problem["id"] == "GR0510" and "is not an absolute path" in problem["message"]


def test_a_volume_that_the_programs_user_may_not_write_says_so(server, stack, volumes):
    (volumes / "shared").chmod(0o555)
    stack("deploy", "--config", "agents.yaml", "--no-wait")
    wait_for(lambda: "may not be written by the program's user (uid" in json.dumps(server.agent("reader")), 60, "the reason is told")
    (volumes / "shared").chmod(0o1777)
    server.wait_ready("reader")
