"""docs/start.md works as it is written: its program and its commands, in its order, on a fresh home."""
import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/start.md"
BINARY = pathlib.Path(os.environ.get("GANTRY_BIN", ROOT / "build/dev/src/gantry"))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """Runs shell text in a home of its own, where `gantry` is the binary under test."""
    assert BINARY.exists(), f"{BINARY} is not built (set GANTRY_BIN)"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gantry").symlink_to(BINARY)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "GANTRY_LISTEN": "127.0.0.1:0"}

    def run(text):
        return subprocess.run(["bash", "-e"], input=text, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    yield run
    run("gantry down --timeout 20s --kill")


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not true after {seconds} s")


def test_the_first_page_is_true(shell, tmp_path):
    build, server, deploy, while_stopped, down = blocks("sh")
    assert "make demo" in build  # has a test of its own

    (program,) = blocks("python")
    path = tmp_path / re.match(r"# (\S+)", program).group(1)
    path.parent.mkdir()
    path.write_text(program)

    for text in (server, deploy):
        done = shell(text)
        assert done.returncode == 0, done.stderr
    assert "1 lines, attempt 1" in done.stdout
    assert "counter" in done.stdout.splitlines()[-1]

    done = shell(while_stopped)
    assert done.returncode == 0, done.stderr
    ids = re.findall(r"req_[0-9A-Z]{26}", done.stdout + done.stderr)
    assert ids, done.stdout + done.stderr
    waiting = shell("gantry requests list --agent counter -o name").stdout.split()[0]
    assert waiting in ids
    shown = until(lambda: (text := shell(f"gantry requests show {waiting}").stdout) and "completed" in text and text)
    assert "2 lines, attempt 1" in shown

    assert shell(down).returncode == 0
