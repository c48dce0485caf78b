"""``once --dry-run``: what a run would send, what that takes and costs, said and not done."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from identifai_watch import config as configuration
from identifai_watch.cli import vendor
from identifai_watch.cli.survey import Say, Survey, look_over
from identifai_watch.config import Config
from identifai_watch.core.gate import Limits
from identifai_watch.core.words import amount, files, span
from identifai_watch.errors import AccountError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a run would come to: ``seconds`` at the account's limits, ``credits`` that are left or why not known."""

    survey: Survey
    seconds: float
    credits: float | None
    trouble: str | None


def rehearse(config: Config, *, as_json: bool) -> None:
    """Look at all folders and print what a run would do; nothing is sent, and nothing is written."""
    with _progress() as say:
        survey = look_over(config, say)
    left, trouble = _balance(config)
    rehearsal = Rehearsal(
        survey=survey, seconds=duration(survey.posts, config.api.limits), credits=left, trouble=trouble
    )
    if as_json:
        click.echo(json.dumps(_as_json(rehearsal)))
    else:
        _show(rehearsal)


def duration(posts: int, limits: Limits) -> float:
    """Return how many seconds the account's limits and the purse take for so many posts; 0 without limits."""
    purse = limits.purse(backlog=True)
    windows = [*limits.windows("POST"), *([] if purse is None else [purse])]
    spans = ((posts - 1) // window.count * window.span.total_seconds() for window in windows if window.count)
    return max(spans, default=0.0) if posts > 0 else 0.0


def _balance(config: Config) -> tuple[float | None, str | None]:
    """Return the credits that are left, or why they are not known."""
    try:
        found = vendor.balance(config, configuration.read_key(config, os.environ))
    except AccountError as error:
        return None, str(error).partition(";")[0]
    return found.available, found.why


@contextmanager
def _progress() -> Iterator[Say]:
    """Give what shows on a terminal what is being done; elsewhere nothing is shown."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.text import Text  # noqa: PLC0415 - likewise

    with Console(stderr=True).status("looking") as status:
        yield lambda words: status.update(Text(words))


def _as_json(rehearsal: Rehearsal) -> dict[str, Any]:
    survey = rehearsal.survey
    return {
        "kinds": {media: asdict(kind) for media, kind in survey.kinds.items()},
        "not_sent": [asdict(rest) for rest in survey.rests.values()],
        "troubles": survey.troubles,
        "posts": survey.posts,
        "seconds": round(rehearsal.seconds),
        "credits": rehearsal.credits,
        "credits_unknown": rehearsal.trouble,
    }


def _show(rehearsal: Rehearsal) -> None:
    """Print what a run would do."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and JSON does not need it

    console = Console(highlight=False, markup=False, soft_wrap=True)
    _show_tables(console, rehearsal.survey)
    posts = rehearsal.survey.posts
    time = f", about {span(rehearsal.seconds)} at the account's limits" if rehearsal.seconds else ""
    console.print(f"{posts:,} {'post' if posts == 1 else 'posts'}{time}.")
    if rehearsal.credits is None:
        console.print(f"Credits available: not known ({rehearsal.trouble}).")
    else:
        console.print(f"Credits available: {amount(rehearsal.credits)}. Each post costs at least one.")
        if rehearsal.credits < posts:
            console.print(
                f"That is too little by {amount(posts - rehearsal.credits)} or more; the rest would wait."
            )
    for trouble in rehearsal.survey.troubles:
        console.print(f"trouble: {trouble}")
    console.print("Nothing was sent.")


def _show_tables(console: Any, survey: Survey) -> None:
    from rich.table import Table  # noqa: PLC0415 - as above

    kinds = Table("kind", box=None, pad_edge=False)
    for name in ("files", "bytes", "unique contents", "to be sent", "bytes to be sent"):
        kinds.add_column(name, justify="right")
    for media, kind in survey.kinds.items():
        numbers = (kind.files, kind.bytes, kind.contents, kind.posts, kind.post_bytes)
        kinds.add_row(media, *(f"{number:,}" for number in numbers))
    console.print(kinds)
    console.print()
    for rest in sorted(survey.rests.values(), key=lambda rest: (rest.fate, rest.extension)):
        named = f".{rest.extension}" if rest.extension else "without extension"
        console.print(f"{rest.fate}: {files(rest.files)} {named}, {rest.bytes:,} bytes: {rest.reason}")
    if survey.rests:
        console.print()
