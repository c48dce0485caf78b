"""How all tests are begun and ended: compiled once for all workers, what they share, and what they counted is printed.

Counted are files, kills, faults, and what was lost or charged twice.
"""

import fcntl
import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from typing import TextIO, cast

import pytest
import structlog

from identifai_watch.ledger import Ledger
from tests.console import Outside
from tests.postgres import Cluster, shared

# Six workers import the tests, and the tests start the program: it is all compiled once, also where nothing is to be.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A run in the background has Ctrl-C ignored, and so would have what the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Have the first worker compile the tests and rewrite their asserts, and the others take what it wrote."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return (yield)
    tests = os.open(session.config.rootpath / "tests", os.O_RDONLY)
    try:
        fcntl.flock(tests, fcntl.LOCK_EX if worker == "gw0" else fcntl.LOCK_SH)
        collected = yield
        gc.collect()
        gc.freeze()  # thousands of tests and what they import: no collection need look through them again
        return collected
    finally:
        os.close(tests)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Leave structlog as it is by default: commands that are typed in a test's own process set it up.

    A daemon in a thread logs to stdout, not into what a command that is typed beside it prints.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Outside())))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Return the run's PostgreSQL, one for all workers: the first test that wants it starts it.

    Who stops or kills a server makes one of its own. It ends with the process of pytest that was typed, however that ends.
    """
    own = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return shared(own.parent, os.getppid()) if is_worker else shared(own, os.getpid())


@pytest.fixture(scope="session")
def template(postgres: Cluster) -> str:
    """Give the address of an empty ledger on PostgreSQL, to be copied."""
    url = postgres.database()
    Ledger(url, node="template").close()
    return url


@pytest.fixture
def server_ledger(postgres: Cluster, template: str) -> Iterator[str]:
    """Give the address of an empty ledger on PostgreSQL."""
    url = postgres.database(template=template.rpartition("/")[2])
    try:
        yield url
    finally:
        postgres.drop(url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of what tests recorded with ``record_property``, a line for each file of tests."""
    sums: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or report.when != "call":
                continue
            for name, value in report.user_properties:
                if isinstance(value, int):
                    of = sums.setdefault(report.nodeid.partition("::")[0], Counter())
                    of[name.rpartition(": ")[2]] += value
    if not sums:
        return
    terminalreporter.section("counted")
    for file, counted in sorted(sums.items()):
        figures = ", ".join(f"{name} {number:,}" for name, number in counted.items())
        terminalreporter.write_line(f"{file}: {figures}")
