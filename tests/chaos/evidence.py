"""What a run leaves behind for the checker: plain lists of plain values, saved as JSON.

    sent      every call of a caller: what it sent, what it was told, when (monotonic seconds)
    lines     what the agents wrote down: word, key, attempt, request id, when
    rows      the requests that the server lists after the run, in the order of acceptance
    again     the same rows after one more SIGKILL and start
    seen      what a watcher saw during the run: requests that are finished, and since when
    answers   recorded answers by request id
    faults    what was done to the server and its agents, and when
"""
import dataclasses
import json
import pathlib


@dataclasses.dataclass
class Evidence:
    sent: list = dataclasses.field(default_factory=list)
    lines: list = dataclasses.field(default_factory=list)
    rows: list = dataclasses.field(default_factory=list)
    again: list = dataclasses.field(default_factory=list)
    seen: list = dataclasses.field(default_factory=list)
    answers: dict = dataclasses.field(default_factory=dict)
    faults: list = dataclasses.field(default_factory=list)

    def save(self, directory):
        for name, value in dataclasses.asdict(self).items():
            (pathlib.Path(directory) / f"{name}.json").write_text(json.dumps(value, indent=0))

    @classmethod
    def load(cls, directory):
        return cls(**{field.name: json.loads((pathlib.Path(directory) / f"{field.name}.json").read_text()) for field in dataclasses.fields(cls)})


def key_of(row):
    """The key in the path of a listed request: /do/KEY?ms=20."""
    return row["target"].split("/")[2].split("?")[0]
