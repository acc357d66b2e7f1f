"""Evidence of a small honest run, and one lie after the other told about it: a checker that cannot fail proves nothing."""
import copy

from checker import STRICT_AGENTS, check
from evidence import Evidence

STRICT = STRICT_AGENTS[0]


def honest():
    """Six requests: three of a strict agent, one under a key and sent twice, one put off, one cancelled."""
    evidence = Evidence(faults=[{"kind": "kill_server", "at": 0.5, "until": 0.7, "restarted": True}])
    plan = [("a", STRICT, "plain"), ("b", STRICT, "plain"), ("c", STRICT, "plain"), ("k", "p0", "key"), ("d", "p0", "delay"), ("x", "p0", "cancel")]
    for number, (key, agent, kind) in enumerate(plan):
        at, request_id = float(number + 1), f"req_{key}"
        delay_s = 0.5 if kind == "delay" else 0
        call = {"agent": agent, "key": key, "kind": kind, "delay_s": delay_s, "order_key": None, "bytes": 3, "id": request_id, "sent_at": at, "at": at + 0.9,
                "status": 202 if kind in ("delay", "cancel") else 200, "told": {}}  # fmt: skip
        row = {"id": request_id, "agent": agent, "target": f"/do/{key}?ms=1", "status": "completed", "response_status": 200, "attempts": 1}
        if kind == "cancel":
            call.update(cancel_status=200, cancelled_at=at + 0.95)
            row.update(status="cancelled", response_status=None, attempts=0)
        else:
            words = ("start", "effect", "end")
            evidence.lines += [[agent, word, key, "1", request_id, f"{at + delay_s + 0.1 + step / 10:.6f}"] for step, word in enumerate(words)]
            evidence.answers[request_id] = {"key": key, "bytes": 3, "attempt": 1}
        if call["status"] == 200:
            call["told"] = {"key": key, "bytes": 3, "attempt": 1}
        evidence.sent.append(call)
        evidence.rows.append(row)
        evidence.seen.append({"id": request_id, "status": row["status"], "at": at + 0.99})
    evidence.sent.append({**copy.deepcopy(evidence.sent[3]), "sent_at": 9.0, "at": 9.1})
    evidence.again = copy.deepcopy(evidence.rows)
    return evidence


def set_rows(evidence, number, **fields):
    for rows in (evidence.rows, evidence.again):
        rows[number].update(fields)


def lose(evidence):
    del evidence.rows[1], evidence.again[1]


def leave_unfinished(evidence):
    set_rows(evidence, 4, status="pending")


def double_the_effect(evidence):
    evidence.lines.append(["p0", "effect", "k", "1", "req_k", "4.25"])


def execute_a_key_twice(evidence):
    for rows in (evidence.rows, evidence.again):
        rows.append({**rows[3], "id": "req_k2"})
    evidence.lines += [["p0", word, "k", "1", "req_k2", at] for word, at in (("start", "9.01"), ("effect", "9.02"), ("end", "9.03"))]


def start_out_of_order(evidence):
    for line in evidence.lines:
        if line[2] == "a":
            line[5] = str(float(line[5]) + 1.95)  # behind b
    evidence.sent[0].update(status=202, told={})  # its caller was told before b was sent
    evidence.seen[0]["at"] = 9.0


def start_out_of_order_after_a_crash(evidence):
    start_out_of_order(evidence)
    for call in evidence.sent[:2]:  # neither caller heard anything before the crash
        call.update(status=None, id=None, told={}, sent_at=0.1, at=0.6)


def complete_without_the_agent(evidence):
    evidence.lines = [line for line in evidence.lines if line[1:3] != ["end", "c"]]


def complete_without_the_effect(evidence):
    evidence.lines = [line for line in evidence.lines if line[1:3] != ["effect", "c"]]


def record_another_answer(evidence):
    evidence.answers["req_b"]["key"] = "a"


def tell_another_answer(evidence):
    evidence.sent[1]["told"]["attempt"] = 7


def deliver_after_the_end(evidence):
    evidence.lines.append(["p0", "start", "k", "2", "req_k", "8.5"])


def deliver_an_attempt_twice(evidence):
    evidence.lines.append(["p0", "start", "k", "1", "req_k", "4.15"])


def start_after_the_answer(evidence):
    next(line for line in evidence.lines if line[1:3] == ["start", "k"])[5] = "8.5"


def run_what_was_cancelled(evidence):
    evidence.lines.append(["p0", "start", "x", "1", "req_x", "7.5"])


def record_a_cancelled_one_as_completed(evidence):
    set_rows(evidence, 5, status="completed", response_status=200)


def change_the_outcome_in_a_crash(evidence):
    evidence.again[0]["status"] = "failed"


def give_up(evidence):
    set_rows(evidence, 2, status="failed")


def start_too_early(evidence):
    for line in evidence.lines:
        if line[2] == "d":
            line[5] = str(float(line[5]) - 0.45)


def work_on_what_nobody_sent(evidence):
    evidence.lines.append(["p0", "start", "ghost", "1", "req_ghost", "5.0"])


def deliver_to_another_agent(evidence):
    evidence.lines[0][0] = "p0"


def tell_another_id(evidence):
    evidence.sent[-1]["id"] = "req_a"


# Each lie, and the promise that it breaks.
LIES = {
    lose: "at least once", leave_unfinished: "at least once", give_up: "at least once",
    double_the_effect: "one effect", execute_a_key_twice: "one request for a key", tell_another_id: "one request for a key",
    start_out_of_order: "order", start_out_of_order_after_a_crash: "order",
    complete_without_the_agent: "completed means finished", complete_without_the_effect: "completed means finished",
    record_another_answer: "completed means finished", tell_another_answer: "completed means finished",
    deliver_after_the_end: "nothing after the end", deliver_an_attempt_twice: "nothing after the end",
    start_after_the_answer: "nothing after the end", run_what_was_cancelled: "nothing after the end",
    record_a_cancelled_one_as_completed: "one outcome", change_the_outcome_in_a_crash: "one outcome",
    start_too_early: "not before its time",
    work_on_what_nobody_sent: "nothing invented", deliver_to_another_agent: "nothing invented",
}  # fmt: skip


def findings(lie):
    evidence = honest()
    lie(evidence)
    return check(evidence)


def self_test():
    """Prints what the checker says about each; 1 if it misses one, or finds anything in the honest run."""
    missed = [("the honest run", wrong) for wrong in check(honest())]
    for lie, promise in LIES.items():
        found = findings(lie)
        hit = next((wrong for wrong in found if wrong.promise == promise), None)
        if not hit:
            missed.append((lie.__name__, found))
        print(f"  {'found ' if hit else 'MISSED'}  {lie.__name__.replace('_', ' '):38} {hit.promise if hit else found}")
    print(f"chaos: the checker was told {len(LIES)} lies and {'found all of them' if not missed else f'failed: {missed}'}")
    return 1 if missed else 0
