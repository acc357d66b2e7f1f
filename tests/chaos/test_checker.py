"""The checker of the chaos harness finds every lie, and nothing in an honest run."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checker  # noqa: E402
from doctored import LIES, findings, honest  # noqa: E402


def test_an_honest_run_has_no_contradiction():
    assert checker.check(honest()) == []


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found(lie):
    assert LIES[lie] in {wrong.promise for wrong in findings(lie)}


def test_every_promise_can_be_broken():
    assert set(LIES.values()) == set(checker.PROMISES)


def test_order_is_checked_for_each_key_when_it_is_promised(monkeypatch):
    evidence = honest()
    evidence.lines.sort(key=lambda line: float(line[5]))
    for call in evidence.sent:
        call["order_key"] = "o1" if call["agent"] == "p0" else None
    evidence.sent[4]["delay_s"] = 0
    for line in evidence.lines:
        if line[2] == "d":
            line[5] = str(float(line[5]) - 2)  # before k, which was accepted earlier
    monkeypatch.setattr(checker, "ORDER_KEYS", False)
    assert "order" not in {wrong.promise for wrong in checker.check(evidence)}
    monkeypatch.setattr(checker, "ORDER_KEYS", True)
    assert "order" in {wrong.promise for wrong in checker.check(evidence)}
