"""What a run of the tests counted, printed at its end: files, kills, faults, and what was lost or charged twice."""

from collections import Counter
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Leave structlog as it is by default: commands that are typed in a test's own process set it up."""
    yield
    structlog.reset_defaults()


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
