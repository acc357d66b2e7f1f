"""A.6: SIGKILL at random for agents and the server under load, and a checker that believes nobody.

GANTRY_CHAOS_ROUNDS sets the number of kills (500), GANTRY_CHAOS_SEED repeats a sequence of victims and pauses.
"""
import collections
import http.client
import itertools
import os
import random
import threading
import time

import pytest

from gantry_server import NODE, descendants, kill_process, wait_for

ROUNDS = int(os.environ.get("GANTRY_CHAOS_ROUNDS", "500"))
CALLERS = 6
AGENTS = {"p0": "worker.py", "p1": "worker.py", "p2": "worker.py", "n0": "worker.js" if NODE else "worker.py"}
Sent = collections.namedtuple("Sent", "agent key status request_id attempt")


class Load:
    """Callers that send one request after the other and keep what they were told."""

    def __init__(self, server, seed):
        self.server, self.sent, self.lock = server, [], threading.Lock()
        self.ending, self.acknowledged, self.surprises = threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.run, args=(number, random.Random(seed + number))) for number in range(CALLERS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive(), "a caller hangs"

    def run(self, number, chance):
        for count in itertools.count():
            if self.ending.is_set():
                return
            agent, key = chance.choice(list(AGENTS)), f"c{number}-{count}"
            # What the journal must hold in any case is noted before the call; an answer that never comes is an unknown.
            body = chance.randbytes(chance.choice([1, 100, 1000, 70_000]))
            status, request_id, attempt = None, None, None
            headers = chance.choice([{}, {}, {"Prefer": "respond-async"}, {"Prefer": "wait=2"}])
            try:
                reply = self.server.call(agent, f"/do/{key}?ms={chance.randrange(30)}", "POST", body, headers, timeout=60)
                status, request_id = reply.status, reply.headers["Gantry-Request-Id"]
                if status == 200:
                    attempt = reply.json()["attempt"]
                    assert reply.json()["key"] == key and reply.json()["bytes"] == len(body)
                elif status not in (202, 503):
                    self.surprises.append((key, reply))
            except (OSError, http.client.HTTPException):
                # The server is away: do not spin.
                self.ending.wait(0.02)
            with self.lock:
                self.sent.append(Sent(agent, key, status, request_id, attempt))
                self.acknowledged += status in (200, 202)


def kill_one_agent(server, chance):
    """SIGKILL for the program of a random agent that has one; it must not wait for its backoff afterwards."""
    for name in chance.sample(list(AGENTS), len(AGENTS)):
        try:
            pid = server.sandbox_pid(name)
        except (OSError, http.client.HTTPException):
            return False
        programs = [child for child in descendants(pid) if child != pid] if pid else []
        if programs:
            for program in programs:
                kill_process(program)
            return name
    return False


def hurry(server):
    """An operator who does not wait for the backoff of agents that were killed often."""
    for agent in server.api("GET", "/v1/agents")["data"]:
        if any(instance["status"] == "backoff" for instance in agent["instances"]):
            server.verb(agent["name"], "start", wait=None)


def run_rounds(server, load, chance):
    victims = collections.Counter()
    for number in range(ROUNDS):
        target = load.acknowledged + chance.randrange(1, 8)
        hurry(server)
        wait_for(lambda: load.acknowledged >= target, 60, f"callers get answers in round {number}")
        # The instant of the kill is what this test is about; this is no synchronisation.
        time.sleep(chance.random() * 0.02)
        victim = chance.choices(["agent", "server", "both"], [50, 35, 15])[0]
        victims[victim] += 1
        if victim in ("agent", "both"):
            kill_one_agent(server, chance)
        if victim in ("server", "both"):
            server.restart()
    return victims


def check(server, sent):
    """Compares what callers were told, what the agents wrote down, and what the journal says."""
    journal = {row["target"].split("/")[2].split("?")[0]: row for row in server.requests()}
    ids = {row["id"] for row in journal.values()}
    assert len(ids) == len(journal)
    starts, ends = collections.defaultdict(list), collections.defaultdict(list)
    for agent in AGENTS:
        for word, key, attempt, request_id in server.agent_log(agent):
            (starts if word == "start" else ends)[key].append((int(attempt), request_id))
    wrong = []
    for call in sent:
        row = journal.get(call.key)
        if call.status in (200, 202) and row is None:
            wrong.append(("acknowledged and lost", call))
        if row is None:
            if starts[call.key]:
                wrong.append(("executed without being in the journal", call))
            continue
        if call.request_id and call.status in (200, 202) and row["id"] != call.request_id:
            wrong.append(("another id", call, row))
        if row["status"] != "completed" or row["response_status"] != 200 or row["agent"] != call.agent:
            wrong.append(("not completed", call, row))
        if not any(request_id == row["id"] for _, request_id in ends[call.key]):
            wrong.append(("reported completed, but the agent did not finish it", call, row))
        if call.status == 200 and max(starts[call.key])[0] != int(call.attempt):
            wrong.append(("executed again after its caller had the answer", call, starts[call.key]))
        if len({attempt for attempt, _ in starts[call.key]}) != len(starts[call.key]):
            wrong.append(("one attempt was delivered twice", call, starts[call.key]))
    unknown = set(starts) - {call.key for call in sent}
    assert not unknown, f"the agents worked on what nobody sent: {sorted(unknown)[:5]}"
    assert not wrong, f"{len(wrong)} contradictions, the first: {wrong[:5]}"
    return journal, starts


@pytest.mark.long(seconds=300)
def test_nothing_is_lost_and_nothing_invented_under_random_kills(make_server):
    seed = int(os.environ.get("GANTRY_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}: GANTRY_CHAOS_SEED={seed} GANTRY_CHAOS_ROUNDS={ROUNDS} repeats it")
    chance = random.Random(seed)
    server = make_server().start()
    retry = {"policy": "fixed", "max": 1000, "initial": "10ms", "cap": "10ms"}
    for name, program in AGENTS.items():
        server.deploy(name, program, persistence={"retry": retry}, concurrency=4, resources={"memory": "256Mi", "pids": 64})
    load, began = Load(server, seed), time.monotonic()
    load.start()
    try:
        victims = run_rounds(server, load, chance)
    finally:
        load.stop()
    hurry(server)
    for name in AGENTS:
        server.wait_ready(name)
    wait_for(lambda: not (server.requests(status="pending") or server.requests(status="processing")), 120, "every request is finished")

    assert not load.surprises, load.surprises[:3]
    journal, starts = check(server, load.sent)
    statuses = collections.Counter(call.status for call in load.sent)
    again = sum(len(list_of) > 1 for list_of in starts.values())
    print(f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s: {dict(victims)}; callers were told {dict(statuses)}; "
          f"{len(journal)} requests in the journal, {again} of them started more than once")  # fmt: skip
    assert len(journal) >= statuses[200] + statuses[202]
    if ROUNDS >= 20:
        assert again > 0, "no kill hit any work: this test would prove nothing"

    # The same after one more crash, when the history comes from the disk alone.
    server.restart()
    check_after = {row["id"]: row["status"] for row in server.requests()}
    assert check_after == {row["id"]: row["status"] for row in journal.values()}
