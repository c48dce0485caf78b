"""``status``, ``list``, ``show``, ``explain`` and ``export``: reading commands, with or without a daemon."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import click

from identifai_watch import overview
from identifai_watch.cli import gathering, listing
from identifai_watch.cli.elsewhere import check_node, node_option
from identifai_watch.cli.gathering import Filters, each_line, located, nowhere, opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.cli.plugin import Plugin, say
from identifai_watch.config import Config
from identifai_watch.core import report
from identifai_watch.core.model import File, FileState, Outcome
from identifai_watch.core.report import Row
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.errors import Exit, RefusedError
from identifai_watch.ledger import Ledger, Transaction, views
from identifai_watch.ledger.views import Line
from identifai_watch.overview import report_of

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula: a file's name may come from anybody."""

path_argument = click.argument("path", type=click.Path(path_type=Path))


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose files."""
    for option in (
        click.option("--doubt", is_flag=True, help="Only what was perhaps paid for without an answer."),
        click.option("--stuck", is_flag=True, help="Only what is not tried again by itself."),
        click.option("--node", help="Only files of this host, in a ledger that several use."),
        click.option("--folder", help="Only files of this folder, by its name."),
        click.option(
            "--outcome", type=click.Choice([one.value for one in Outcome]), help="Only files of this outcome."
        ),
        click.option(
            "--state", type=click.Choice([one.value for one in FileState]), help="Only files in this state."
        ),
    ):
        command = option(command)
    return command


@click.command("status", cls=Plugin)
@config_option
@json_option
@click.option("--metrics", "as_metrics", is_flag=True, help="As metrics for Prometheus, in its text format.")
@click.option("--check", "is_check", is_flag=True, help="As a plugin of Nagios: one line, and 0, 1, 2 or 3.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C; with --json one object a line.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds between two looks with --watch.",
)
def status_command(
    *, config_path: Path | None, as_json: bool, as_metrics: bool, is_check: bool, watch: bool, every: float
) -> int | None:
    """Show how things stand, and what is waited for; works with and without a daemon."""
    if as_json + as_metrics + is_check > 1:
        raise click.UsageError("One of --json, --metrics and --check.")
    if watch and (as_metrics or is_check):
        raise click.UsageError("--watch goes with --json alone.")
    config = load(config_path)
    if watch:
        from identifai_watch.cli import watching  # noqa: PLC0415 - for this option alone

        with standard_output() as out:
            watching.watch(out, config, every, as_json=as_json)
        return None
    now = datetime.now(UTC)
    with opened_to_read(config) as ledger:
        found = report_of(config, ledger, now)
    if is_check:
        return say(found, now)
    with standard_output() as out:
        if as_json:
            out.write(f"{json.dumps(report.status_json(found))}\n")
            return None
        if as_metrics:
            from identifai_watch.metrics import exposition  # noqa: PLC0415 - its library is for scrapers alone

            out.write(exposition(found))
            return None
        from identifai_watch.cli import paper, printing  # noqa: PLC0415 - rich is for people, who wait 0.1 s longer

        paper.put(out, printing.status(found, now))
    return None


@click.command("list")
@config_option
@json_option
@filter_options
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
def list_command(
    *,
    config_path: Path | None,
    as_json: bool,
    limit: int | None,
    folder: str | None,
    node: str | None,
    **filters: Any,
) -> None:
    """List files with their verdicts, newest first; with --json one object a line."""
    config = load(config_path)
    with opened_to_read(config) as ledger, standard_output() as out:
        check_node(config, ledger, node)
        gathering.check_folder(config, ledger, folder)
        lines = each_line(ledger, _filters(folder=folder, node=node, **filters), limit)
        if as_json:
            out.writelines(f"{text}\n" for text in _as_json(config, ledger, lines))
        else:
            has_hosts = gathering.has_hosts(ledger)
            listing.write(out, lines, partial(overview.renamed, config), has_hosts=has_hosts)


@click.command("show")
@config_option
@json_option
@node_option
@path_argument
def show_command(*, config_path: Path | None, as_json: bool, node: str | None, path: Path) -> None:
    """Show one file: what was found in it, its copies, its editions and its whole history."""
    from identifai_watch.core import findings, wording  # noqa: PLC0415 - what was found is for this command alone

    config = load(config_path)
    place = located(config, path, node)
    with opened_to_read(config) as ledger:
        check_node(config, ledger, node)
        if ledger is None:
            raise _unknown(place)
        with ledger.read() as tx:
            lines = gathering.lines_at(tx, config, place)
            if not lines:
                raise nowhere(config, place) if place.folder is None else _unknown(place)
            document = _document(tx, lines, gathering.of_host(ledger))
            file, analysis = lines[0].file, lines[0].analysis
            raw = None if analysis is None else views.raw_answer(tx, analysis.id)
        document["file"]["shown_at"] = overview.shown_at(config, file)
    found = wording.found_in(file, analysis, raw)
    said = wording.words(file, analysis, found)
    with standard_output() as out:
        if as_json:
            told = None if found is None else findings.findings_json(found)
            out.write(f"{json.dumps(document | {'words': wording.words_json(said), 'findings': told})}\n")
            return
        from identifai_watch.cli import judgement, paper, printing  # noqa: PLC0415 - rich is for people

        place_now = overview.lies_at(config, file)
        judged = judgement.told(said, found)
        document["file"]["shown_at"] = overview.renamed(config, file)  # else it lies where it says
        paper.put(out, printing.one_file(document, None if place_now is None else shown(place_now), judged))


@click.command("explain")
@config_option
@json_option
@node_option
@path_argument
def explain_command(*, config_path: Path | None, as_json: bool, node: str | None, path: Path) -> None:
    """Say why a file was or was not judged, what it waits for, and what can be done."""
    from identifai_watch.cli.tracing import explain  # noqa: PLC0415 - the folder's rules are for this command alone
    from identifai_watch.core.explaining import explanation_json  # noqa: PLC0415 - likewise

    config = load(config_path)
    with opened_to_read(config) as ledger:
        found, around = explain(config, ledger, located(config, path, node), datetime.now(UTC))
    with standard_output() as out:
        if as_json:
            out.write(f"{json.dumps(explanation_json(found, around))}\n")
            return
        from identifai_watch.cli import paper, printing  # noqa: PLC0415 - rich is for people

        paper.put(out, printing.explanation(found, around))


@click.command("export")
@config_option
@filter_options
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option(
    "-o", "--output", default="-", show_default=True, help="The file to write; - is standard output."
)
@click.option("--history", "is_history", is_flag=True, help="What was done, by whom, instead of files.")
def export_command(
    *,
    config_path: Path | None,
    kind: str,
    output: str,
    is_history: bool,
    folder: str | None,
    node: str | None,
    **filters: Any,
) -> None:
    """Write files and verdicts as CSV or JSON lines, newest first.

    With --history, the lines of history as they are chained, newest last. Anybody can compute the chain from it: the
    digest of a line is the SHA-256 of the digest before it (32 zero bytes before the first) followed by the SHA-256 of
    the UTF-8 of a JSON array without blanks and with characters as they are, [at_us, who, event, file_id, analysis_id,
    detail], where an empty file_id or analysis_id is null and detail is a string, byte for byte as it stands in its
    column.
    """
    config = load(config_path)
    if is_history and (folder is not None or node is not None or any(filters.values())):
        raise click.UsageError("--history is written whole: a chain with links left out proves nothing.")
    with opened_to_read(config) as ledger:
        columns: Sequence[str] = report.EXPORTED
        if is_history:
            from identifai_watch.cli import happenings  # noqa: PLC0415 - the chain is for this option alone

            columns = happenings.COLUMNS
            rows: Iterator[Row] = map(happenings.export_row, happenings.each_line(ledger))
        else:
            check_node(config, ledger, node)
            gathering.check_folder(config, ledger, folder)
            lines = each_line(ledger, _filters(folder=folder, node=node, **filters), None)
            of_host = gathering.of_host(ledger)
            columns = (*columns, "node") if ledger is not None and ledger.member else columns
            rows = (
                report.export_row(line.file, line.analysis, overview.shown_at(config, line.file))
                | of_host(line.file)
                for line in lines
            )
        with _writing(output) as out:
            _write_csv(out, columns, rows) if kind == "csv" else _write_jsonl(out, rows)


def _filters(
    *,
    state: str | None,
    outcome: str | None,
    folder: str | None,
    node: str | None,
    stuck: bool,
    doubt: bool,
) -> Filters:
    return {
        "state": None if state is None else FileState(state),
        "outcome": None if outcome is None else Outcome(outcome),
        "folder": folder,
        "node": node,
        "stuck": stuck,
        "doubt": doubt,
    }


def _as_json(config: Config, ledger: Ledger | None, lines: Iterable[Line]) -> Iterator[str]:
    of_host = gathering.of_host(ledger)
    for line in lines:
        shown_at = overview.shown_at(config, line.file)
        said = report.line_json(line.file, line.analysis) | {"shown_at": shown_at} | of_host(line.file)
        yield json.dumps(said)


def _unknown(place: gathering.Place) -> RefusedError:
    path = shown(place.absolute)
    return RefusedError(f"the ledger does not know {path}; identifai-watch explain says why")


def _document(tx: Transaction, lines: list[Line], of_host: Callable[[File], Row]) -> Row:
    """Return all that the ledger knows of the file that stands first in ``lines``, and of those before it there."""
    file, analysis = lines[0].file, lines[0].analysis
    analysed = None if analysis is None else report.analysis_json(analysis)
    editions = [] if analysis is None else views.editions_of(tx, analysis)
    return {
        "file": report.file_json(file, analysis) | of_host(file),
        "verdict": None if analysed is None else analysed["verdict"],
        "analysis": analysed,
        "copies": [report.line_json(copy, None) | of_host(copy) for copy in views.copies_of(tx, file)],
        "editions": [report.analysis_json(one) for one in editions] if len(editions) > 1 else [],
        "earlier": [report.line_json(line.file, line.analysis) for line in lines[1:]],
        "history": [
            {"at": timestamp(one.at), "who": one.who, "event": one.event, "detail": one.detail}
            for one in views.history_of(tx, file)
        ],
    }


@contextmanager
def standard_output() -> Iterator[IO[str]]:
    """Lend the standard output as UTF-8, in blocks: a line at a time is slow for a million of them."""
    out = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        yield out
        out.flush()
    except BrokenPipeError:
        _give_up_output()  # the reader went away, as `list | head` does, and that is no failure
        raise SystemExit(Exit.OK) from None
    except OSError as error:
        _give_up_output()
        raise RefusedError(f"standard output cannot be written: {error.strerror}") from error
    finally:
        out.detach()  # else closing it would close the process's own


def _give_up_output() -> None:
    """Let what is still to be written go nowhere: else the end of the process would try it once more."""
    with Path(os.devnull).open("wb") as nowhere_at_all:
        os.dup2(nowhere_at_all.fileno(), sys.stdout.fileno())


@contextmanager
def _writing(output: str) -> Iterator[IO[str]]:
    """Lend what an export goes to: a file appears whole, or not at all."""
    if output == "-":
        with standard_output() as out:
            yield out
        return
    path = Path(output)
    # A device or a pipe is written as it is; a file is written beside its place and then put there.
    is_special = path.exists() and not path.is_file()
    written = path if is_special else path.with_name(f".identifai-{path.name}.{os.getpid()}")
    try:
        with written.open(
            "w" if is_special else "x", encoding="utf-8", errors="backslashreplace", newline=""
        ) as out:
            yield out
            out.flush()
        if not is_special:
            written.replace(path)
    except OSError as error:
        raise RefusedError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        if not is_special:
            written.unlink(missing_ok=True)


def _write_csv(out: IO[str], columns: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])


def _write_jsonl(out: IO[str], rows: Iterable[Row]) -> None:
    for row in rows:
        out.write(json.dumps(row) + "\n")


def _cell(value: object) -> object:
    """Return what stands in a cell; text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
