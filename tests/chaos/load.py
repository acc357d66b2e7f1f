"""Callers that send one durable request after the other and note what they were told, and a watcher of the listing."""
import http.client
import itertools
import json
import random
import threading
import time

import checker

BODIES = (1, 100, 1000, 1000, 4000, 70_000)
# What a caller does, and how often.
KINDS = {"plain": 8, "async": 4, "wait": 2, "key": 5, "delay": 1, "cancel": 2}


class Load:
    """`callers` threads, each with chances of its own that follow from the seed."""

    def __init__(self, server, seed, agents, callers, pause_s):
        self.server, self.agents, self.pause_s = server, agents, pause_s
        self.sent, self.seen, self.surprises, self.lock = [], [], [], threading.Lock()
        self.ending, self.acknowledged = threading.Event(), 0
        self.threads = [threading.Thread(target=self.run, args=(number, random.Random(f"{seed}/{number}")), daemon=True) for number in range(callers)]
        self.threads.append(threading.Thread(target=self.watch, daemon=True))

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(180)
            assert not thread.is_alive(), "a caller hangs"

    def run(self, number, chance):
        for count in itertools.count():
            if self.ending.wait(self.pause_s * chance.random() * 2):
                return
            kind = chance.choices(list(KINDS), KINDS.values())[0]
            key, agent = f"c{number}-{count}", chance.choice(self.agents)
            path, body = f"/do/{key}?ms={chance.randrange(25)}", chance.randbytes(chance.choice(BODIES))
            headers, delay_s = {}, 0
            if kind in ("async", "delay", "cancel"):
                headers["Prefer"] = "respond-async"
            if kind == "wait":
                headers["Prefer"] = "wait=2"
            if kind == "key":
                headers["Idempotency-Key"] = f'"{key}"'
            if kind == "delay":
                delay_s = chance.randrange(200, 3000) / 1000
                headers["Gantry-Delay"] = f"{int(delay_s * 1000)}ms"
            order_key = f"o{chance.randrange(5)}" if checker.ORDER_KEYS and chance.random() < 0.5 else None
            if order_key:
                headers["Gantry-Order-Key"] = order_key
            repeats = chance.randrange(1, 4) if kind == "key" else 1
            for _ in range(repeats):
                call = {"agent": agent, "key": key, "kind": kind, "delay_s": delay_s, "order_key": order_key, "bytes": len(body)}
                self.call(call, path, body, headers)
                if kind == "cancel" and call["status"] == 202:
                    self.ending.wait(chance.random() * 0.03)
                    self.cancel(call)

    def call(self, call, path, body, headers):
        call.update(status=None, id=None, told={}, sent_at=time.monotonic())
        try:
            reply = self.server.call(call["agent"], path, "POST", body, headers, timeout=90)
            call.update(status=reply.status, id=reply.headers["Gantry-Request-Id"])
            if reply.status == 200:
                call["told"] = reply.json()
            elif reply.status not in (202, 409, 503, 504):
                self.surprises.append([call, repr(reply)])
        except (OSError, http.client.HTTPException, ValueError):
            # The server is away: what became of the request is unknown. Do not spin.
            self.ending.wait(0.02)
        call["at"] = time.monotonic()
        with self.lock:
            self.sent.append(call)
            self.acknowledged += call["status"] in (200, 202)

    def cancel(self, call):
        try:
            reply = self.server.request("POST", f"/v1/requests/{call['id']}/cancel", timeout=60)
            call.update(cancel_status=reply.status, cancelled_at=time.monotonic())
            if reply.status not in (200, 409, 503):
                self.surprises.append([call, repr(reply)])
        except (OSError, http.client.HTTPException):
            self.ending.wait(0.02)

    def watch(self):
        """Which requests are finished, and since when that is known."""
        known = {}
        while not self.ending.wait(0.3):
            try:
                rows = self.server.api("GET", "/v1/requests?limit=300", timeout=30)["data"]
            except (OSError, http.client.HTTPException, AssertionError, ValueError):
                continue
            at = time.monotonic()
            for row in rows:
                if row["status"] in checker.FINISHED and known.get(row["id"]) != row["status"]:
                    known[row["id"]] = row["status"]
                    self.seen.append({"id": row["id"], "status": row["status"], "at": at})


def recorded_answers(server, rows, limit, chance):
    """The recorded answers of at most `limit` completed requests, read back one by one."""
    completed = [row["id"] for row in rows if row["status"] == "completed"]
    answers = {}
    for request_id in chance.sample(completed, min(limit, len(completed))):
        reply = server.request("GET", f"/v1/requests/{request_id}/response")
        answers[request_id] = json.loads(reply.body) if reply.status == 200 else {"status": reply.status}
    return answers
