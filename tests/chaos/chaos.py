#!/usr/bin/python3
"""A real server, real agents and a load of durable requests, while both are killed, stopped, slowed down and set back.

    make chaos                                   3 minutes, as CI runs it
    tests/chaos/chaos.py --minutes 30            by hand
    tests/chaos/chaos.py --seed 7 --minutes 1    the same callers and the same sequence of faults again
    tests/chaos/chaos.py --check DIRECTORY       the checker alone, on what a run left behind
    tests/chaos/chaos.py --self-test             shows that the checker finds what it must find

Faults: SIGKILL and SIGSTOP of server and agents, a full disk and a slow one, jumps of the clock. A full disk needs root
for a file system of its own and is left out without. Proved of what callers were told, agents wrote down and the server
lists: at least once, one outcome, one effect, nothing completed that was not finished, nothing after the end, order.
The exit code is 0 if every promise was kept, 1 if one was broken: then the evidence is kept, and its directory printed.
"""
import argparse
import collections
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(pathlib.Path(__file__).resolve().parent)]

import gantry_server  # noqa: E402
from checker import PROMISES, Wrong, check, was_accepted  # noqa: E402
from doctored import self_test  # noqa: E402
from evidence import Evidence  # noqa: E402
from faults import CLANG, WEIGHTS, Disk, Faults, Shim  # noqa: E402
from gantry_server import NODE, GantryServer, wait_for  # noqa: E402
from load import Load, recorded_answers  # noqa: E402

AGENTS = {"p0": ("effects.py", 4), "n0": ("effects.js", 4), "s0": ("effects.py", 1), "s1": ("effects.js", 1)}
ANSWERS_READ = 1500
SETTLE_SECONDS = 120


def deploy(server):
    workdir = str(pathlib.Path(__file__).resolve().parent / "agents")
    retry = {"policy": "fixed", "max": 1000, "initial": "10ms", "cap": "10ms"}
    for name, (program, slots) in AGENTS.items():
        server.deploy(name, program if NODE else "effects.py", workdir=workdir, concurrency=slots, timeout="20s",
                      persistence={"retry": retry}, resources={"memory": "256Mi", "pids": 64}, wait=False)  # fmt: skip
    for name in AGENTS:
        server.wait_ready(name)


def run_faults(options, load, faults):
    began, counts = time.monotonic(), collections.Counter()
    while time.monotonic() - began < options.minutes * 60:
        faults.hurry()
        target = load.acknowledged + faults.chance.randrange(5, 40)
        # The instant of a fault is what this is about; this is no synchronisation.
        pause = time.monotonic() + faults.chance.random() * 1.5
        wait_for(lambda: load.acknowledged >= target or time.monotonic() > pause + 2, 60, "callers get answers")
        time.sleep(max(0, pause - time.monotonic()))
        kind = faults.commit()
        counts[kind] += 1
        if options.verbose:
            print(f"{time.monotonic() - began:7.1f} s  {kind:12} {faults.log[-1]['detail']}", flush=True)
    return counts


def unfinished(server):
    return server.requests(status="pending") + server.requests(status="processing")


def settle(server, load, faults, shim):
    """Until every request is finished. What callers put off may need its time first; everything else must not."""
    faults.hurry()
    put_off = {call["key"] for call in load.sent if call["delay_s"]}

    def only_put_off():
        faults.hurry()
        return all(row["target"].split("/")[2].split("?")[0] in put_off for row in unfinished(server))

    try:
        wait_for(only_put_off, SETTLE_SECONDS, "every request that was not put off is finished")
        if shim:
            shim.set_clock(shim.clock() + 2 * 3600 * 10**9)  # a jump back has made their time later
            faults.note("clock_jump", time.monotonic(), "+2 h at the end")
        wait_for(lambda: not unfinished(server), SETTLE_SECONDS, "every request is finished")
    except gantry_server.NotInTime as late:
        print(f"chaos: {late}", flush=True)  # the checker names them


def collect(server, load, faults, chance):
    """Everything that the checker needs; the listing once more after another crash."""
    for name in AGENTS:
        server.wait_ready(name)
    evidence = Evidence(sent=load.sent, seen=load.seen, faults=faults.log)
    for name in AGENTS:
        lines = wait_for(lambda: (reply := server.call(name, "/log", headers={"Prefer": "wait=30"})).status == 200 and reply.json(), 60, "an agent shows its log")
        evidence.lines += [[name, *line] for line in lines]
    evidence.rows = server.requests()[::-1]
    evidence.answers = recorded_answers(server, evidence.rows, ANSWERS_READ, chance)
    server.restart()
    evidence.again = server.requests()[::-1]
    return evidence


def summary(evidence, counts, wrong, seconds):
    told = collections.Counter(str(call["status"]) for call in evidence.sent)
    starts = collections.Counter(line[4] for line in evidence.lines if line[1] == "start")
    print(f"  faults     {sum(counts.values())}: {', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))}")
    print(f"  callers    {len(evidence.sent)} calls, told {dict(told)}; {sum(map(was_accepted, evidence.sent))} accepted, "
          f"{sum(call.get('cancel_status') == 200 for call in evidence.sent)} cancelled, {sum(bool(call['delay_s']) for call in evidence.sent)} put off")  # fmt: skip
    print(f"  server     {len(evidence.rows)} requests: {dict(collections.Counter(row['status'] for row in evidence.rows))}; "
          f"{len(evidence.answers)} recorded answers read back")  # fmt: skip
    print(f"  agents     {sum(starts.values())} deliveries, {sum(count > 1 for count in starts.values())} requests delivered more than once, "
          f"{sum(line[1] == 'effect' for line in evidence.lines)} effects")  # fmt: skip
    broken = collections.Counter(one.promise for one in wrong)
    for promise in PROMISES:
        print(f"  {'BROKEN' if broken[promise] else 'kept  '}     {promise}{f': {broken[promise]} times' if broken[promise] else ''}")
    print(f"  took       {seconds:.0f} s")


def report(wrong, directory):
    if not wrong:
        return 0
    for one in wrong[:10]:
        print(f"chaos: {one.promise}: {one.what}")
    print(f"chaos: {len(wrong)} contradictions; the evidence is in {directory}; tests/chaos/chaos.py --check {directory} reads it again")
    return 1


def chosen_faults(options, shim, disk):
    missing = {"slow_disk": not shim, "clock_jump": not shim, "full_disk": not (disk and disk.kind)}
    for kind, is_missing in missing.items():
        if is_missing and kind in options.faults:
            print(f"chaos: {kind} is left out: {'no C compiler for the shim' if kind != 'full_disk' else 'it needs root and a file system of its own'}")
    return [kind for kind in options.faults if not missing.get(kind)]


def run(options):
    began = time.monotonic()
    print(f"chaos: seed {options.seed}, {options.minutes:g} minutes, {gantry_server.binary()}", flush=True)
    home = pathlib.Path(tempfile.mkdtemp(prefix="gantry-chaos-", dir=options.directory))
    home.chmod(0o755)
    shim = Shim(home) if CLANG and {"slow_disk", "clock_jump"} & set(options.faults) else None
    disk = Disk(home, 384 + int(48 * options.minutes)) if os.geteuid() == 0 and "full_disk" in options.faults else None
    kinds = chosen_faults(options, shim, disk)
    server = GantryServer(home / "disk/server" if disk and disk.kind else home / "server", environment=shim.environment() if shim else {})
    server.log_path = home / "server.err"  # not on the disk that fills up
    chance, wrong = random.Random(options.seed), None
    load = Load(server, options.seed, list(AGENTS), options.callers, options.pause_ms / 1000)
    faults = Faults(server, list(AGENTS), chance, shim, disk, kinds)
    try:
        server.start()
        deploy(server)
        load.start()
        try:
            counts = run_faults(options, load, faults)
        finally:
            load.stop()
        settle(server, load, faults, shim)
        evidence = collect(server, load, faults, chance)
        evidence.save(home)
        wrong = check(evidence) + [Wrong("answers that callers expect", one) for one in load.surprises]
        if not counts or not any(line[1] == "effect" for line in evidence.lines):
            wrong.append(Wrong("a run that proves something", "there was no fault, or no work"))
        summary(evidence, counts, wrong, time.monotonic() - began)
        return report(wrong, home)
    finally:
        server.end()
        if disk:
            disk.close()
            (home / "disk.img").unlink(missing_ok=True)
        if wrong == [] and not options.keep:
            shutil.rmtree(home, ignore_errors=True)
        elif wrong is None:
            print(f"chaos: seed {options.seed} ended early; its server's log is in {home}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="repeats callers and faults (default: a random one, which is printed)")
    parser.add_argument("--minutes", type=float, default=3, help="of faults; collecting and checking come on top (default 3)")
    parser.add_argument("--callers", type=int, default=8, help="threads that send requests (default 8)")
    parser.add_argument("--pause-ms", type=float, default=60, help="mean pause of a caller between two requests (default 60)")
    parser.add_argument("--faults", type=lambda text: text.split(","), default=list(WEIGHTS), help="only these: " + ",".join(WEIGHTS))
    parser.add_argument("--directory", help="where the data directory is made (default: the temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep the evidence when all is well, too")
    parser.add_argument("--verbose", action="store_true", help="print each fault")
    parser.add_argument("--check", type=pathlib.Path, metavar="DIRECTORY", help="only check what a run left there")
    parser.add_argument("--self-test", action="store_true", help="feed the checker doctored evidence; each must be reported")
    options = parser.parse_args()
    if unknown := set(options.faults) - set(WEIGHTS):
        parser.error(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(WEIGHTS)}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    if options.self_test:
        return self_test()
    if options.check:
        return report(check(Evidence.load(options.check)), options.check)
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
