"""How the reading commands look to people: on a terminal, wide or narrow, and in a pipe (``paper``)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from identifai_watch.cli.paper import Fitting, Framed, safe
from identifai_watch.core.explaining import PAUSES, REMEDIES, Circumstances, Explanation
from identifai_watch.core.model import AccountState, Outcome
from identifai_watch.core.nodes import DOWN, STOPPED, Node
from identifai_watch.core.report import (
    AD_HOC,
    LIST_COLUMNS,
    LIST_WIDTHS,
    NEVER_WATCHED,
    Report,
    Row,
    SpentPurse,
    WatchedFolder,
    happening_text,
    place_text,
)

COLOURS: Mapping[str, str] = {
    Outcome.HUMAN: "green",
    Outcome.ARTIFICIAL: "magenta",
    Outcome.UNCERTAIN: "yellow",
    Outcome.REJECTED: "red",
    "ok": "green",
    "degraded": "yellow",
    "unavailable": "red",
    DOWN: "red",
    STOPPED: "yellow",
    "stuck": "red",
}


TOLD = frozenset({"verdict", "sha256", "media", "size", "identifier", "priority"})
"""What ``show`` need not repeat of the analysis, since it stands with the file."""

INSTANTS = frozenset(
    {
        "at",
        "deadline",
        "delivered_at",
        "due",
        "failing_since",
        "hashed_at",
        "heatmap_due",
        "judged_at",
        "noticed_at",
        "stuck_at",
        "submitted_at",
    }
)
"""What of a document is an instant; ``lies_at`` is none."""


def span(length: timedelta) -> str:
    """Return a length of time as people say it."""
    seconds = max(0, round(length.total_seconds()))
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds} s"


def instant(at: datetime | None, now: datetime) -> str:
    """Return an instant with its distance from now."""
    if at is None:
        return "never"
    said = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{said} (in {span(at - now)})" if at > now else f"{said} ({span(now - at)} ago)"


def status(report: Report, now: datetime) -> Framed:
    """Return how things stand."""
    parts: list[RenderableType] = [
        facts(
            [
                ("Daemon", _daemon(report, now)),
                ("Account", _account(report, now)),
                ("Uploads", _uploads(report, now)),
                *([] if report.spent is None else [("Purse", _spent(report.spent, now))]),
                ("Files", _counted(report.files)),
                ("", f"settling {report.settling}, held {report.held}, left alone {report.left}"),
                ("Contents", _counted(report.analyses)),
                ("Outcomes", _counted(report.outcomes)),
            ]
        ),
        Text(),
    ]
    if report.has_hosts:
        parts += [_nodes(report.nodes, now), Text()]
    parts.append(_folders(report.folders, now, has_hosts=report.has_hosts))
    attention = list(_attention(report))
    if attention:
        parts += [Text(), *attention]
    return Framed(title="identifai-watch", inside=Group(*parts))


def watched(shown: RenderableType, now: datetime, every: float) -> Group:
    """Return what ``status --watch`` shows: how things stood at ``now``, and how it is ended."""
    hint = f"{now:%H:%M:%S} UTC, again every {every:g} s; Ctrl-C ends it"
    return Group(shown, Text(hint, style="dim"))


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Return names and what is to be said of each, in two columns; what does not fit is folded."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else safe(value))
    return table


def files(page: Iterable[Sequence[str]], *, heading: bool) -> Fitting:
    """Return a page of ``list``: in columns, of which the last one folds what is too long, or in two lines a file."""
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), show_header=heading)
    for name, width in zip(LIST_COLUMNS, LIST_WIDTHS, strict=True):
        table.add_column(name, width=width or None, ratio=None if width else 1, overflow="fold")
    blocks: list[RenderableType] = []
    for where, *others, place in page:
        named = Text(where, style=COLOURS.get(where, ""))
        table.add_row(named, *map(Text, others), Text(place))
        blocks += [Text(" ").join((named, *map(Text, filter(None, others)))), _below(Text(place))]
    return Fitting(wide=table, narrow=Group(*blocks))


def explanation(found: Explanation, around: Circumstances) -> Table:
    """Return why a file is where it is."""
    rows = [("File", around.path), ("Folder", around.folder), ("State", found.state), ("Why", found.says)]
    if found.rule is not None:
        rows.append(("Rule", found.rule))
    if found.until is not None:
        rows.append(("Next", f"about {instant(found.until, around.now)}"))
    if found.remedy is not None:
        rows.append(("To do", found.remedy))
    rows += [("Note" if not number else "", note) for number, note in enumerate(found.notes)]
    return facts(row for row in rows if row[1])


def one_file(document: Row, lies_at: str | None, judgement: RenderableType) -> Group:
    """Return one file with everything that is known of it, from the document of ``show --json``.

    ``lies_at`` is the absolute path of where it lies, None if it is not there any more or nobody can tell.
    ``judgement`` is what was found in it, ready to be printed.
    """
    file, analysis = document["file"], document["analysis"]
    whole = f"/{file['path']}" if file["folder"] == AD_HOC else file["path"]
    skip = {"decision"}
    if file["decision"] and file["decision"]["reason"] in (file["reason"] or ""):
        skip.add("reason")  # it stands with the decision
    parts: list[RenderableType] = [facts(_said(file | {"path": whole, "lies_at": lies_at}, skip=skip))]
    parts += [Text(), judgement]
    for title, block in (
        ("Desk's decision", file["decision"]),
        ("Analysis", analysis and {name: value for name, value in analysis.items() if name not in TOLD}),
    ):
        if block:
            parts += [Text(), Text(title, style="bold underline"), facts(_said(block))]
    for title, lines in (
        ("Copies", [f"{place_text(one)} ({one['state']})" for one in document["copies"]]),
        ("Editions", [_edition(one) for one in document["editions"]]),
        ("Before at this place", [_earlier(one) for one in document["earlier"]]),
    ):
        if lines:
            parts += [Text(), Text(title, style="bold underline"), *(_below(safe(line)) for line in lines)]
    return Group(*parts, Text(), Text("History (UTC)", style="bold underline"), _history(document["history"]))


def _below(text: Text) -> Padding:
    """Return what stands below a line that it belongs to."""
    return Padding(text, (0, 0, 0, 2))


def _daemon(report: Report, now: datetime) -> Text:
    if report.is_running:
        return Text(f"runs since {instant(report.since, now)}", style="green")
    return Text("does not run: nothing is judged until it does (identifai-watch run)", style="yellow")


def _account(report: Report, now: datetime) -> Text:
    account = report.account
    credits_left = ""
    if account.credits is not None:
        noun = "credit" if account.credits == 1 else "credits"
        credits_left = f", {account.credits:,.15g} {noun} {_when(account.credits_at, now)}"
    if account.state is AccountState.PAUSED and account.reason is not None:
        detail = f" ({account.detail})" if account.detail else ""
        words = f"paused: {PAUSES[account.reason]}{detail}{credits_left}"
        if account.next_probe_at is not None:
            words += f"; looked at again {_when(account.next_probe_at, now)}"
        return safe(f"{words}. To do: {REMEDIES[account.reason]}", "red")
    if account.hold_until is not None and account.hold_until > now:
        return Text(
            f"all right, but identifAI cannot be reached or asks us to wait; tried {_when(account.hold_until, now)}",
            style="yellow",
        )
    if account.succeeded_at is None and account.credits is None:
        return Text("not asked yet")
    return Text(f"all right{credits_left}")


def _when(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def _uploads(report: Report, now: datetime) -> str:
    made = _made(report)
    waiting = report.queue.backlog
    if not waiting or report.backlog_opens_at is None:
        return made
    return (
        f"{made}; {waiting} of them only within backlog_hours {report.backlog_hours}, "
        f"{_when(report.backlog_opens_at, now)}"
    )


def _made(report: Report) -> str:
    number = report.queue.total
    if not number:
        return "none to make"
    if report.eta is None:
        return f"{number} to make, but the purse of posts_per_day never allows them"
    if report.spent is not None:
        return f"{number} to make, when the purse has room again"
    lasts = "at once" if report.eta < timedelta(seconds=1) else f"about {span(report.eta)}"
    return f"{number} to make, {lasts} at the account's limits"


def _spent(purse: SpentPurse, now: datetime) -> Text:
    frees = "" if purse.frees_at is None else f", frees at {instant(purse.frees_at, now)}"
    return Text(
        f"the purse of posts_per_day is spent: {purse.made:,} of {purse.allowed:,}{frees}", style="yellow"
    )


def _counted(numbers: Mapping[Any, int]) -> Text:
    parts = [
        Text(f"{name} {number}", style=COLOURS.get(name, "") if number else "dim")
        for name, number in numbers.items()
    ]
    return Text(", ").join(parts)


def _nodes(nodes: Iterable[Node], now: datetime) -> Fitting:
    """Return the hosts as a table, or where there is no room for one below each other."""
    table = _grid("Node", "Health", "Runs since", "Last told", "Settling", "Uploading", "Version")
    blocks: list[RenderableType] = []
    for one in nodes:
        since = _when(one.since, now) if one.is_running else "-"
        told, health = _when(one.seen_at, now) or "never", Text(one.health, style=COLOURS[one.health])
        here = " (here)" if one.is_here else ""
        under_way = f"{one.settling}", f"{one.uploading}"
        table.add_row(safe(f"{one.name}{here}"), health, since, told, *under_way, one.version or "-")
        named = safe(f"{one.name}{here}", "bold").append(": ").append_text(health)
        said = f"settling {one.settling}, uploading {one.uploading}, " if one.is_running else ""
        blocks += [named, _below(Text(f"{said}last told {told}"))]
    return Fitting(wide=table, narrow=Group(*blocks))


def _grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _folders(folders: Iterable[WatchedFolder], now: datetime, *, has_hosts: bool) -> Fitting:
    """Return the folders as a table, or where there is no room for one below each other."""
    table = _grid("Folder", "Health", "Noticed by", "Scanned", "Path")
    blocks: list[RenderableType] = []
    for one in folders:
        # What a daemon alone knows is told once a minute: a scan may be over that was not told of yet.
        scanned = "-" if one.last_scan_at is None else _when(one.last_scan_at, now)
        health, mode = Text(one.health, style=COLOURS[one.health]), one.mode
        path = safe(one.shown_at or one.path)
        if one.reason == NEVER_WATCHED:
            health, mode = Text("not watched yet", style="dim"), "-"
        if one.paused is not None:
            path.append("\n").append_text(safe(f"paused {one.paused}", "yellow"))
        if one.reason is not None and one.reason != NEVER_WATCHED:
            path.append("\n").append_text(safe(one.reason, COLOURS[one.health]))
        name = one.full_name if has_hosts else one.name
        table.add_row(safe(name), health, mode, scanned, path)
        named = safe(name, "bold").append(": ").append_text(health)
        if one.last_scan_at is not None:
            named.append(f", noticed by {mode}, scanned {scanned}")
        blocks += [named, _below(path)]
    return Fitting(wide=table, narrow=Group(*blocks))


def _attention(report: Report) -> Iterator[Text]:
    """Yield what a person should see to, each with its remedy."""
    if report.stuck:
        yield Text(f"{report.stuck} stuck: identifai-watch list --stuck, then retry", style="red")
    if report.doubt:
        yield Text(
            f"{report.doubt} in doubt, perhaps paid for without an answer: identifai-watch list --doubt",
            style="yellow",
        )
    if report.held:
        yield Text(f"{report.held} held since before the daemon: identifai-watch backlog", style="yellow")


def _said(block: Mapping[str, Any], skip: Iterable[str] = ()) -> Iterator[tuple[str, str | Text]]:
    """Yield what is known of a block of a document, name by name; what is not, or counts nothing, is left out."""
    for name, value in block.items():
        if value is None or value in ([], (), 0) or name in skip:
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        if name in INSTANTS:
            text = f"{text[:19].replace('T', ' ')} UTC"
        yield name.replace("_", " "), safe("yes" if value is True else text, COLOURS.get(text, ""))


def _edition(one: Row) -> str:
    verdict = one["verdict"]
    said = (
        one["reason"] or "" if verdict is None else f"{verdict['classification']} {verdict['confidence']:g}"
    )
    return f"{one['edition']}: {one['state']} {said} {one['judged_at'] or ''}".rstrip()


def _earlier(one: Row) -> str:
    return f"{one['state']} {one['outcome'] or ''} noticed {one['noticed_at']} sha256 {(one['sha256'] or '?')[:16]}"


def _history(happenings: Iterable[Row]) -> Fitting:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    for wraps in (False, False, True):
        table.add_column(no_wrap=not wraps, overflow="fold")
    blocks: list[RenderableType] = []
    for one in happenings:
        at, who = one["at"][:19].replace("T", " "), safe(one["who"])
        event, detail = safe(one["event"], "bold"), safe(happening_text(one["detail"]))
        table.add_row(at, who, event + Text("  " if detail else "") + detail)
        blocks += [Text("  ").join((Text(at), who, event)), *([_below(detail)] if detail else [])]
    return Fitting(wide=table, narrow=Group(*blocks))
