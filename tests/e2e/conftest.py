"""A server for each test, the logs of those that failed, and the long tests first."""
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from gantry_server import GantryServer  # noqa: E402


def pytest_collection_modifyitems(items):
    """Long ones first, the longest before all, so that none of them starts when the others are done."""

    def seconds(item):
        mark = item.get_closest_marker("long")
        return -mark.kwargs["seconds"] if mark else 0

    items.sort(key=seconds)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in getattr(item, "gantry_servers", []):
            report.sections.append((f"server log of {server.home.name}", server.log_tail(80)))


@pytest.fixture
def home():
    """A short path in a directory that agents' users may enter: Unix sockets live below it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gantry-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_server(request, home):
    """Makes servers that are ended with the test: make_server(environment={…}, flags=[…], data=PATH)."""
    request.node.gantry_servers = servers = []

    def make(environment=None, flags=(), name=None):
        server = GantryServer(home / (name or f"s{len(servers)}"), environment, flags)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()


@pytest.fixture
def server(make_server):
    """A server that is ready, with no agents."""
    return make_server().start()


@pytest.fixture
def pool():
    """Threads for calls that wait, joined at the end of the test."""
    with concurrent.futures.ThreadPoolExecutor(64) as executor:
        yield executor
