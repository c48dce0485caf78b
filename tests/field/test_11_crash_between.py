"""The process dies after the file was submitted and before that was written down, and the restart submits it again.

Elsewhere nobody knew of it: the second job was made, and paid, in silence. Here ``sending`` is committed before the first
byte leaves. What a crash leaves in that state is in doubt; the doubt is shown by every view until it is settled, the
resend is one that identifAI answers from what it has already, and nothing is charged twice.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from identifai_watch.core.model import AnalysisState
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.field.seen import status
from tests.harness import House, house, wait_for
from tests.watching import picture

QUICK = {"settle_seconds": 0.1}
WITHHELD = Fault(kind=FaultKind.STALL, match=Endpoint.UPLOAD)
"""It takes effect, and no answer comes."""


def committed(home: House) -> list[tuple[str, int]]:
    """Return what another process reads of the analyses: state and doubt."""
    path = home.home / "state" / "ledger.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT state, doubt FROM analyses").fetchall()


def test_that_it_is_sent_is_committed_before_it_is(tmp_path: Path) -> None:
    """When the first byte arrives the ledger says so already, to everybody."""
    stalled = Fault(kind=FaultKind.STALL_BODY, match=Endpoint.UPLOAD)
    with house(tmp_path, Script(faults=(stalled,)), folder=QUICK) as home, home.process() as process:
        home.put("sample.png", "large.png", extra=bytes(30_000_000))
        assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1, seconds=30)
        assert [(AnalysisState.SENDING, 0)] == committed(home)
        process.kill()


def test_a_crash_after_it_was_charged_is_in_doubt_and_charged_once(tmp_path: Path) -> None:
    """Killed twice before an answer came: status shows the doubt, the third attempt ends it, one charge is all."""
    with house(tmp_path, Script(faults=(WITHHELD,)), folder=QUICK) as home:
        with home.process() as process:
            path = picture(home.drop / "a.png")
            assert home.simulator.state.wait_for(lambda state: len(state.charged) == 1, seconds=30)
            process.kill()
            process.wait()
        assert [(AnalysisState.SENDING, 0)] == committed(home)
        home.simulator.change(faults=(WITHHELD,))
        with home.process() as process:
            assert home.simulator.state.wait_for(
                lambda state: state.arrived(Endpoint.UPLOAD) == 2, seconds=30
            )
            assert [(AnalysisState.SENDING, 1)] == committed(home)
            assert 1 == status(home)["doubt"]
            process.kill()
            process.wait()
        assert 1 == status(home)["doubt"], "also while nothing runs"
        with home.process():
            sidecar = home.sidecar(path)
            wait_for(lambda: committed(home) == [(AnalysisState.JUDGED, 0)], "it is judged, without doubt")
        shown = home.command("show", str(path), "--json")
        (charged,) = home.simulator.state.charged
    assert charged.identifier == sidecar["analysis"]["identifier"]
    assert not charged.no_cache
    assert 3 == home.simulator.state.arrived(Endpoint.UPLOAD)
    assert "the daemon ended while it was sent" in shown.stdout
