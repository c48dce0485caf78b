"""Write into README.md what follows from the code, states, arrows, commands and exit statuses, and what was measured.

``python docs/generate.py`` rewrites the blocks between its markers; ``--check`` only says whether they are current.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identifai_watch.cli import COMMANDS
from identifai_watch.core.lifecycle import ANALYSES, DUTIES, FILES, Tries
from identifai_watch.errors import Exit

MEASURED = Path(__file__).resolve().parent / "measured.json"
README = Path(__file__).resolve().parent.parent / "README.md"

MEANINGS = {
    Exit.OK: "all well; `run`, `simulate` and `status --watch` end so on Ctrl-C too",
    Exit.PROBLEMS: "something was refused, is stuck or cannot be found; `check` found something in the way, a refused key too",
    Exit.USAGE: "the command was not understood",
    Exit.LATER: "try again later: another daemon runs, identifAI cannot be reached, the purse is empty",
    Exit.ACCOUNT: "the account is refused: key, terms, credits",
    Exit.CONFIG: "the configuration or the ledger is wrong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is where if everything ends at an arrow, and what the next start does."""

    ledger: str
    elsewhere: str
    start: str


QUIET = Cut(
    ledger="before or after, never between: one transaction",
    elsewhere="nothing happened",
    start="does the duty of the row that it finds",
)
"""An arrow that only changes a row."""

CUTS: Mapping[tuple[str, str], Cut] = {
    ("queued", "Begun"): Cut(
        ledger="`sending`, committed before the first byte leaves",
        elsewhere="nothing, or some of the upload, or all of it and a charge",
        start=(
            "`queued` with `doubt`: resent, never with `no_cache`; the API answers what it has already judged, so that a "
            "rejudging that was cut before anything arrived brings the earlier verdict"
        ),
    ),
    ("sending", "Uploaded"): Cut(
        ledger="`sending`",
        elsewhere="the API has the content and has charged for it; its answer was lost with us",
        start="`queued` with `doubt`: resent; the same content and options give the same identifier",
    ),
    ("sending", "Unsent"): Cut(
        ledger="`sending`",
        elsewhere="the upload was cut before its closing boundary, or the API took nothing of it: nothing was charged",
        start="`queued` with `doubt`: the next upload is the first one that arrives",
    ),
    ("sending", "Deferred"): Cut(
        ledger="`sending`",
        elsewhere="the whole upload may have arrived; there is no identifier",
        start="`queued` with `doubt`: resent",
    ),
    ("sending", "Refused"): Cut(
        ledger="`sending`",
        elsewhere="the API refused the content",
        start="`queued` with `doubt`: resent, refused again; the doubt stays until an upload is taken",
    ),
    ("awaiting", "Judged"): Cut(
        ledger="`awaiting`", elsewhere="the verdict is at the API", start="asks again; that is free"
    ),
    ("waiting", "Destined"): Cut(
        ledger="`waiting`, without outcome and destination or with both",
        elsewhere="nothing was touched",
        start="delivers; a destination that was committed stays",
    ),
    ("waiting", "Delivered"): Cut(
        ledger="`waiting`, with outcome and destination",
        elsewhere=(
            "any part of: hidden temp, sidecar, the file at its destination (across devices also at its source), "
            "companions, XMP, heatmap; never a half file under a real name"
        ),
        start="delivers again: looks at the destination first, finishes what is there, and leaves nothing behind",
    ),
}


def states() -> str:
    """Return both tables as state diagrams."""
    return "\n\n".join(
        (
            "The judging of one content (a row of `analyses`):",
            _diagram(ANALYSES),
            "Duties: "
            + "; ".join(f"`{state}`: {duty or 'none'}" for state, duty in DUTIES.items())
            + ". A row without a due instant rests: it is stuck, and `retry` goes on where it stood.",
            "One file (a row of `files`):",
            _diagram(FILES),
        )
    )


def _diagram(table: Mapping[Any, Mapping[Any, Any]]) -> str:
    """Return one table as a Mermaid diagram; arrows that lead back to where they began are left to the table."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(table))}"]
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, row in table.items():
        for event, target in row.items():
            name = event.__name__
            if isinstance(target, Tries):
                times = {1: "once", 3: "thrice"}[target.at_most]
                arrows.setdefault((state, target.again), []).append(f"{name} ({times})")
                arrows.setdefault((state, target.then), []).append(f"{name} (again)")
            else:
                arrows.setdefault((state, target), []).append(name)
    lines += [
        f"    {state} --> {target}: {', '.join(names)}"
        for (state, target), names in arrows.items()
        if state != target
    ]
    return "\n".join([*lines, "```"])


def crashes() -> str:
    """Return what a cut at each arrow leaves, for every arrow of both tables."""
    rows = ["| arrow | the ledger says | on the disk, at the API | the next start |", "|---|---|---|---|"]
    for table in (ANALYSES, FILES):
        for state, row in table.items():
            for event in row:
                cut = CUTS.get((str(state), event.__name__))
                if cut is not None:
                    rows.append(
                        f"| {state}, {event.__name__} | {cut.ledger} | {cut.elsewhere} | {cut.start} |"
                    )
    rows.append(f"| every other arrow | {QUIET.ledger} | {QUIET.elsewhere} | {QUIET.start} |")
    return "\n".join(rows)


def commands() -> str:
    """Return the commands with their summaries."""
    rows = [f"| `{name}` | {summary} |" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def statuses() -> str:
    """Return the exit statuses with their meanings."""
    rows = [f"| {status.value} | {MEANINGS[status]} |" for status in Exit]
    return "\n".join(
        ["| status | meaning |", "|---|---|", *rows, "| 130 | any other command was stopped by Ctrl-C |"]
    )


def benchmarks() -> str:
    """Return the figures that have a goal or are told without one, as ``python -m benchmarks all --json docs/measured.json`` wrote them."""
    documents = json.loads(MEASURED.read_text(encoding="utf-8"))
    lines = [
        "| `python -m benchmarks` | measured | figure | yardstick | ratio | goal | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        _measured(document["benchmark"], one)
        for document in documents
        for one in document["figures"]
        if one["goal"] or one.get("told")
    ]
    machine = documents[0]["machine"]
    system = f"{machine['system']}, Python {machine['python']}, SQLite {machine['sqlite']}"
    return "\n".join([*lines, "", f"On {machine['processor']}, {machine['cores']} cores, {system}."])


def _measured(name: str, one: Mapping[str, Any]) -> str:
    beside = "" if one["yardstick"] is None else f"{_number(one['yardstick'])} {one['against']}"
    cells = (
        f"`{name}`",
        one["what"].strip(),
        f"{_number(one['value'])} {one['unit']}".strip(),
        beside,
        "" if one["ratio"] is None else f"{one['ratio']:.2f}",
        one["goal"],
        {True: "yes", False: "**no**", None: ""}[one["reached"]],
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


BLOCKS = {
    "states": states,
    "crashes": crashes,
    "commands": commands,
    "statuses": statuses,
    "benchmarks": benchmarks,
}


def rewritten(text: str) -> str:
    """Return the README with every block made anew; raise ValueError if one of them has no place in it."""
    for name, make in BLOCKS.items():
        begin, end = f"<!-- {name}: made by docs/generate.py -->", f"<!-- /{name} -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"README.md has no place for {name}: it needs {begin} and {end}")
        text = f"{head}{begin}\n{make()}\n{end}{tail}"
    return text


def main() -> int:
    """Rewrite README.md, or with --check only compare it."""
    text = README.read_text(encoding="utf-8")
    fresh = rewritten(text)
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
