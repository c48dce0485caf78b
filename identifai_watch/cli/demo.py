"""``demo``: a real daemon on a temporary folder, with real media, against the pretend identifAI."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import click
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.tree import Tree

from identifai_watch import config as configuration
from identifai_watch.core.model import FileState
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, desk, views
from identifai_watch.ledger.views import Line
from identifai_watch.simulator import Simulator

KEY = "demonstration-key-of-no-account"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05
DELAY_SECONDS = 0.5
Process = subprocess.Popen[bytes]
COLOURS = {"human": "green", "artificial": "red", "uncertain": "yellow", "rejected": "magenta"}


@click.command("demo")
@click.option(
    "--save-svg", type=click.Path(path_type=Path, dir_okay=False), help="Save what is shown as a picture."
)
def demo_command(save_svg: Path | None) -> None:
    """Show it all working: no key, no network and no terminal needed.

    A daemon watches a temporary folder; small real media are dropped there, among them a copy, a file that is
    replaced and one of a format that identifAI does not take. The verdicts are simulated. On a terminal the page of
    that daemon can be looked at until a key is pressed.
    """
    console = Console(
        record=save_svg is not None, width=100 if save_svg is not None else None, highlight=False
    )
    with tempfile.TemporaryDirectory(prefix="identifai-watch-demo-") as place, Simulator() as simulator:
        simulator.change(key=KEY, delay=DELAY_SECONDS)
        home = Path(place)
        with _daemon(home, simulator.url) as daemon:
            _play(console, home, daemon)
            if save_svg is None:
                _show_page(console, _page_of(home))
    if save_svg is not None:
        console.save_svg(str(save_svg), title="identifai-watch demo")


def _play(console: Console, home: Path, daemon: Process) -> None:
    """Drop the media, follow each to its verdict, and show what is left on the disk."""
    drop = home / "drop"
    console.rule("[bold]identifai-watch demo")
    console.print(
        "A daemon watches [bold]drop/[/]. It talks to a pretend identifAI on this machine, so that no key and no "
        "network are needed. [bold yellow]Every verdict below is simulated[/]: it follows from the file's hash and "
        "says nothing about the file.\n"
    )
    with (
        as_file(files("identifai_watch") / "samples") as samples,
        Ledger(f"sqlite:///{home}/ledger.db", node="demo") as ledger,
    ):
        _await_first_scan(ledger, daemon)
        page = _page_of(home)
        if page is not None and not console.record:
            console.print(f"Its page is at [bold]{page}[/].\n", soft_wrap=True)
        media = {path.name: path for path in sorted(samples.iterdir())}
        media["copy of harbour.jpg"] = samples / "harbour.jpg"
        for name, sample in media.items():
            shutil.copyfile(sample, drop / name)
            _tell(console, name, "[dim]dropped[/]")
        follow = partial(_follow, console, ledger, daemon, {})
        follow(lambda lines: _are_delivered(lines, len(media)))
        console.print("\nNow [bold]fern.webp[/] is replaced by another picture:\n")
        replacement = home / "new.webp"
        replacement.write_bytes((samples / "fern.webp").read_bytes() + b"another edition")
        replacement.rename(drop / "fern.webp")
        follow(_is_replaced)
        with ledger.read() as tx:
            lines = list(views.lines(tx))
    _show_result(console, drop, lines)


def _follow(
    console: Console,
    ledger: Ledger,
    daemon: Process,
    told: dict[int, str],
    is_done: Callable[[list[Line]], bool],
) -> None:
    """Print each step of each file until all is done.

    Raises:
        RefusedError: The daemon ended, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with ledger.read() as tx:
            lines = list(views.lines(tx))
        for line in reversed(lines):
            step = _step(line)
            if told.get(line.file.id) != step:
                told[line.file.id] = step
                _tell(console, os.fsdecode(line.file.path), step)
        if is_done(lines):
            return
        if daemon.poll() is not None:
            raise RefusedError(f"the daemon of the demo ended with status {daemon.returncode}")
        time.sleep(LOOK_SECONDS)  # another process writes it, and tells nobody
    raise RefusedError(f"the demo did not end within {PATIENCE_SECONDS:.0f} s; its machine is very busy")


def _await_first_scan(ledger: Ledger, daemon: Process) -> None:
    """Wait until the daemon knows the folder: what is dropped from then on is new."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and daemon.poll() is None:
        with ledger.read() as tx:
            found = desk.node_report(tx, ledger.node)
        if found is not None and all(folder["last_scan_at"] for folder in found[1]["folders"]):
            return
        time.sleep(LOOK_SECONDS)  # another process writes it, and tells nobody
    raise RefusedError(f"the daemon of the demo did not come up (status {daemon.returncode})")


def _tell(console: Console, name: str, step: str) -> None:
    console.print(f"  {time.strftime('%H:%M:%S')}  {name:<22} {step}")


def _step(line: Line) -> str:
    """Return in words where a file stands."""
    file, analysis = line.file, line.analysis
    if file.state is FileState.SUPERSEDED:
        return "[dim]replaced: its old verdict no longer counts[/]"
    if file.state is FileState.DELIVERED and file.outcome is not None:
        colour = COLOURS[file.outcome]
        sure = "" if analysis is None or analysis.verdict is None else f" {analysis.verdict.confidence:.2f}"
        paid = ", nothing paid: same content" if file.duplicate else ""
        why = f" ({file.reason})" if file.reason else ""
        return f"[bold {colour}]{file.outcome}[/]{sure}{why}{paid}"
    return str(file.state if analysis is None else analysis.state)


def _are_delivered(lines: list[Line], count: int) -> bool:
    return sum(line.file.state is FileState.DELIVERED for line in lines) >= count


def _is_replaced(lines: list[Line]) -> bool:
    ferns = [line.file.state for line in lines if line.file.path == b"fern.webp"]
    return sorted(ferns) == [FileState.DELIVERED, FileState.SUPERSEDED]


def _show_result(console: Console, drop: Path, lines: list[Line]) -> None:
    """Print the folder as it is now, one sidecar, and what was paid."""
    tree = Tree("[bold]drop/[/]")
    for name in sorted(path.name for path in drop.iterdir()):
        tree.add(f"[dim]{name}[/]" if name.endswith(".identifai.json") else name)
    sidecar = json.loads((drop / "harbour.jpg.identifai.json").read_text(encoding="utf-8"))
    sidecar["response"] = {"...": "the API's whole answer"}
    console.print()
    console.print(tree)
    console.print("\n[bold]drop/harbour.jpg.identifai.json[/]")
    # As text, which a narrow terminal wraps: a block of code would be cut at its edge, or padded to it.
    highlighted = Syntax("", "json", background_color="default").highlight(json.dumps(sidecar, indent=2))
    highlighted.rstrip()
    console.print(highlighted, soft_wrap=not console.record)  # a picture has an edge
    paid = len({line.analysis.id for line in lines if line.analysis is not None})
    table = Table.grid(padding=(0, 2))
    replaced = sum(line.file.state is FileState.SUPERSEDED for line in lines)
    table.add_row("files", f"{len(lines) - replaced} dropped, {replaced} of them replaced")
    table.add_row("contents paid for", str(paid))
    table.add_row("verdicts", "[bold yellow]simulated[/]")
    console.print()
    console.print(table)


def _page_of(home: Path) -> str | None:
    """Return where the daemon serves its page, by its log; None if it could not."""
    with (home / "daemon.log").open(encoding="utf-8", errors="replace") as log:
        for line in log:
            with suppress(ValueError):
                said = json.loads(line)
                if said.get("event") == "page":
                    return str(said["url"])
    return None


def _show_page(console: Console, page: str | None) -> None:
    """Name the page's address, and on a terminal leave time to look at it."""
    if page is not None and sys.stdin.isatty() and console.is_terminal:
        console.print(f"\nThe same in a browser: [bold]{page}[/]", soft_wrap=True)
        click.pause("Press any key to end the demo and its page.")
        return
    host, port = configuration.Web().address or ("127.0.0.1", 0)
    console.print(
        f"\nidentifai-watch run serves a page of all this at [bold]http://{host}:{port}[/].", soft_wrap=True
    )


@contextmanager
def _daemon(home: Path, url: str) -> Iterator[Process]:
    """Run a real daemon as a process of its own, and stop it as systemd would."""
    (home / "drop").mkdir()
    document = {
        "api": {
            "url": url,
            "posts_per_second": 4,
            "posts_per_minute": 0,
            "gets_per_second": 4,
            "gets_per_minute": 0,
        },
        "ledger": {"url": f"sqlite:///{home}/ledger.db"},
        "node": {"name": "demo"},
        "web": {"listen": "127.0.0.1:0"},
        "folder": [
            {"path": str(home / "drop"), "name": "drop", "settle_seconds": 0.5, "unsupported": "reject"}
        ],
    }
    (home / "demo.toml").write_text(configuration.dump(document), encoding="utf-8")
    command = [sys.executable, "-m", "identifai_watch", "run", "--config", str(home / "demo.toml")]
    around = os.environ | {"IDENTIFAI_API_KEY": KEY, "CACHE_DIRECTORY": str(home / "cache")}
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, env=around, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
