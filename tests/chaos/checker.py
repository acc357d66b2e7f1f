"""Compares what callers were told, what the agents wrote down and what the server lists. It believes nobody.

`check(evidence)` is pure: a list of `Wrong`, empty if every promise was kept. Each promise is one function below.
"""
import bisect
import collections

from evidence import key_of

# Agents with one slot: their requests start in the order of acceptance.
STRICT_AGENTS = ("s0", "s1")
# The header Gantry-Order-Key: order is kept for each key of an agent. Callers send it, and this is checked, when True.
ORDER_KEYS = True

FINISHED = ("completed", "failed", "cancelled")
Wrong = collections.namedtuple("Wrong", "promise what")
Line = collections.namedtuple("Line", "agent word key attempt id at")


class Facts:
    """The evidence, indexed."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.lines = [Line(*line) for line in evidence.lines]
        self.rows = {row["id"]: row for row in evidence.rows}
        self.rows_of_key = collections.defaultdict(list)
        for row in evidence.rows:
            self.rows_of_key[key_of(row)].append(row)
        self.by_word = {word: collections.defaultdict(list) for word in ("start", "effect", "end")}
        for line in self.lines:
            self.by_word[line.word][line.id].append(line)
        # The first moment at which somebody outside knew that a request is finished.
        self.finished_at = {}
        for seen in evidence.seen:
            self.finished_at[seen["id"]] = min(seen["at"], self.finished_at.get(seen["id"], seen["at"]))
        for call in evidence.sent:
            if call["status"] == 200 and call["id"]:
                self.finished_at[call["id"]] = min(call["at"], self.finished_at.get(call["id"], call["at"]))


def was_accepted(call):
    """Its caller may rely on it: 202, or an answer with an id that is no refusal."""
    return bool(call["id"]) and call["status"] in (200, 202, 409, 502, 504)


def nothing_accepted_is_lost(facts):
    for call in facts.evidence.sent:
        if was_accepted(call) and call["id"] not in facts.rows:
            yield f"accepted and not in the journal: {call}"
    for row in facts.evidence.rows:
        if row["status"] not in FINISHED:
            yield f"never finished: {row}"
        elif row["status"] == "failed":
            yield f"given up although its attempts are not used up: {row}"


def nothing_is_invented(facts):
    keys = {call["key"] for call in facts.evidence.sent}
    for row in facts.evidence.rows:
        if key_of(row) not in keys:
            yield f"a request that nobody sent: {row}"
    for line in facts.lines:
        if line.id not in facts.rows:
            yield f"executed without being in the journal: {line}"
        elif key_of(facts.rows[line.id]) != line.key or facts.rows[line.id]["agent"] != line.agent:
            yield f"delivered as something else: {line} {facts.rows[line.id]}"


def one_request_for_a_key(facts):
    """Repeats under one Idempotency-Key are one request; all their callers are told the same id."""
    for key, rows in facts.rows_of_key.items():
        if len(rows) > 1:
            yield f"{len(rows)} requests for key {key}: {[row['id'] for row in rows]}"
    for call in facts.evidence.sent:
        for row in facts.rows_of_key.get(call["key"], []):
            if was_accepted(call) and call["id"] in facts.rows and row["id"] != call["id"]:
                yield f"told another id: {call}, {row['id']}"


def one_recorded_outcome(facts):
    """What was seen finished once stays as it is: during the run, after it and after another crash."""
    outcome = {row["id"]: row["status"] for row in facts.evidence.rows}
    again = {row["id"]: (row["status"], row["attempts"]) for row in facts.evidence.again}
    if len(outcome) != len(facts.evidence.rows):
        yield "a request is listed twice"
    for row in facts.evidence.rows:
        if again.get(row["id"]) != (row["status"], row["attempts"]):
            yield f"another outcome after a crash: {row['id']} {row['status']}, then {again.get(row['id'])}"
    for seen in facts.evidence.seen:
        if outcome.get(seen["id"]) != seen["status"]:
            yield f"seen {seen['status']}, recorded {outcome.get(seen['id'])}: {seen['id']}"
    for call in facts.evidence.sent:
        status = outcome.get(call["id"])
        if call["status"] == 200 and status != "completed":
            yield f"answered, but recorded as {status}: {call}"
        if call.get("cancel_status") == 200 and status != "cancelled":
            yield f"cancelled, but recorded as {status}: {call}"


def one_effect(facts):
    by_key = collections.defaultdict(list)
    for request_id, effects in facts.by_word["effect"].items():
        by_key[effects[0].key] += effects
        if len(effects) > 1:
            yield f"{len(effects)} effects of one request: {effects}"
    for key, effects in by_key.items():
        if len({effect.id for effect in effects}) > 1:
            yield f"effects of several requests for key {key}: {effects}"


def completed_means_finished(facts):
    for row in facts.evidence.rows:
        if row["status"] != "completed":
            continue
        ends = {int(line.attempt) for line in facts.by_word["end"][row["id"]]}
        if row["response_status"] != 200:
            yield f"completed with another status than the agent's: {row}"
        if not ends or not facts.by_word["effect"][row["id"]]:
            yield f"completed, but the agent did not finish it: {row}"
        answer = facts.evidence.answers.get(row["id"])
        if answer is not None and (answer.get("key") != key_of(row) or answer.get("attempt") not in ends):
            yield f"the recorded answer is not the agent's: {row['id']} {answer}"
    for call in facts.evidence.sent:
        if call["status"] == 200:
            ends = {int(line.attempt) for line in facts.by_word["end"][call["id"]]}
            if call["told"].get("attempt") not in ends or call["told"].get("bytes") != call["bytes"]:
                yield f"told an answer that the agent did not give: {call}"


def nothing_runs_after_its_end(facts):
    """No delivery begins behind the recorded end. One that began before may still be on its way to a stopped agent."""
    for request_id, starts in facts.by_word["start"].items():
        row = facts.rows.get(request_id)
        if row is None:
            continue
        numbers = [int(line.attempt) for line in starts]
        if len(set(numbers)) != len(numbers):
            yield f"one attempt was delivered twice: {starts}"
        if max(numbers) > row["attempts"]:
            yield f"delivered after its end: attempt {max(numbers)}, recorded are {row['attempts']}: {starts}"
        ended = facts.finished_at.get(request_id)
        late = [line for line in starts if ended and float(line.at) > ended and int(line.attempt) >= row["attempts"]]
        if late and row["status"] == "completed":
            yield f"started after its answer was known at {ended}: {late}"


def nothing_runs_before_its_time(facts):
    jumps = [fault["at"] for fault in facts.evidence.faults if fault["kind"] == "clock_jump"]
    for call in facts.evidence.sent:
        starts = facts.by_word["start"].get(call["id"], [])
        if not call.get("delay_s") or not starts:
            continue
        first = min(float(line.at) for line in starts)
        if any(call["sent_at"] <= jump <= first for jump in jumps):
            continue  # somebody set the clock meanwhile: its time came by that
        if first < call["sent_at"] + call["delay_s"] - 0.01:
            yield f"started {call['sent_at'] + call['delay_s'] - first:.3f} s before its time: {call}"


class Lanes:
    """Which requests must start one after the other, and what callers could know of their order."""

    def __init__(self, facts):
        by_id = {call["id"]: call for call in reversed(facts.evidence.sent) if call["id"]}
        by_key = {call["key"]: call for call in reversed(facts.evidence.sent)}
        self.restarts = [fault for fault in facts.evidence.faults if fault.get("restarted")]
        self.place, self.lane, self.known_at, self.call_of = {}, {}, {}, {}
        for number, row in enumerate(facts.evidence.rows):
            call = by_id.get(row["id"]) or by_key.get(key_of(row))
            # What its caller put off steps in at its time; what was taken back holds no place, and a delivery that was on
            # its way in that moment may still arrive.
            if not call or call["delay_s"] or row["status"] == "cancelled":
                continue
            if row["agent"] in STRICT_AGENTS:
                self.lane[row["id"]] = row["agent"]
            elif ORDER_KEYS and call["order_key"]:
                self.lane[row["id"]] = (row["agent"], call["order_key"])
            self.place[row["id"]], self.call_of[row["id"]] = number, call
            self.known_at[row["id"]] = call["at"] if was_accepted(call) else float("inf")

    def must_precede(self, first, second, started):
        """Acceptance of `first` was known before `second` was sent, or both were read back after a crash. Of two that
        came at the same time either may be first, whichever record was written before the other."""
        one, other = self.call_of[first], self.call_of[second]
        if self.known_at[first] <= other["sent_at"]:
            return True
        return any(max(one["at"], other["at"]) <= restart["until"] < started and max(one["sent_at"], other["sent_at"]) < restart["at"]
                   for restart in self.restarts)  # fmt: skip


def order_is_kept(facts):
    """In each lane the starts follow the acceptance; a retry repeats its place."""
    lanes, begun, highest = Lanes(facts), collections.defaultdict(list), {}
    for line in sorted((line for line in facts.lines if line.word == "start"), key=lambda line: float(line.at)):
        lane = lanes.lane.get(line.id)
        # A delivery whose successor has begun is an echo: it sat in a stopped agent while the server died.
        if lane is None or int(line.attempt) < highest.get(line.id, 0):
            continue
        is_first = line.id not in highest
        highest[line.id] = int(line.attempt)
        ahead = begun[lane]
        for _, request_id, started in ahead[bisect.bisect_left(ahead, (lanes.place[line.id] + 1,)) :]:
            if lanes.must_precede(line.id, request_id, started):
                yield f"lane {lane}: {line} started behind {request_id}, which was accepted later"
        if is_first:
            bisect.insort(ahead, (lanes.place[line.id], line.id, float(line.at)))


PROMISES = {
    "at least once": nothing_accepted_is_lost,
    "nothing invented": nothing_is_invented,
    "one request for a key": one_request_for_a_key,
    "one outcome": one_recorded_outcome,
    "one effect": one_effect,
    "completed means finished": completed_means_finished,
    "nothing after the end": nothing_runs_after_its_end,
    "not before its time": nothing_runs_before_its_time,
    "order": order_is_kept,
}


def check(evidence):
    """Every broken promise."""
    facts = Facts(evidence)
    return [Wrong(promise, what) for promise, find in PROMISES.items() for what in find(facts)]
