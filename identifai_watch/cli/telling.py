"""``notify``: try everybody who is told something, and list what they are still to be told."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from identifai_watch import __version__, notify
from identifai_watch.cli.gathering import opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.config import Config, Folder
from identifai_watch.core import alarms, notices, sidecar
from identifai_watch.core.alarms import Alarm, Watch
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    File,
    FileState,
    Fingerprint,
    Label,
    Media,
    Outcome,
    Verdict,
)
from identifai_watch.core.notices import Digest, News, Notice
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.dispatch.channels import Channels, stored_of
from identifai_watch.errors import Exit, RefusedError
from identifai_watch.ledger import alarms as known_alarms
from identifai_watch.ledger import notices as outbox
from identifai_watch.notify import Answer

TRIED = b"a picture that was never there.jpg"
HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What came of telling a channel one notice."""

    channel: str
    kind: str
    answer: Answer


@click.group("notify")
def notify_command() -> None:
    """Try whom is told of verdicts and troubles, and list who still waits."""


@notify_command.command("test")
@config_option
@json_option
def test_command(*, config_path: Path | None, as_json: bool) -> int:
    """Tell everybody one of each: an outcome, a digest, an alarm, and that it is over; and say what came of it.

    Each says that it is a test. No daemon is needed, and nothing is tried twice. Ends with 0 if everybody was told.
    """
    config = load(config_path)
    if not config.notify.has_channels and not config.notify.heartbeat_url:
        raise RefusedError(
            "nobody is to be told: set command, webhook, apprise_file or heartbeat_url in [notify]"
        )
    tries = []
    for tried in _tries(config):
        tries.append(tried)
        if not as_json:
            said = "told" if tried.answer.trouble is None else shown(tried.answer.trouble)
            click.echo(f"{tried.channel}: {tried.kind}: {said}")
            sys.stdout.flush()
    failed = [one for one in tries if one.answer.trouble is not None]
    if as_json:
        rows = [
            {"channel": one.channel, "kind": one.kind, "told": one.answer.trouble is None}
            | {"reason": one.answer.trouble}
            for one in tries
        ]
        click.echo(json.dumps(rows))
    return Exit.PROBLEMS if failed else Exit.OK


@notify_command.command("waiting")
@config_option
@json_option
def waiting_command(*, config_path: Path | None, as_json: bool) -> None:
    """List what is wrong now as people were told, and how much each channel is still to be told."""
    config = load(config_path)
    raised: list[Alarm] = []
    queues: list[outbox.Queue] = []
    with opened_to_read(config) as ledger:
        if ledger is not None:
            with ledger.read() as tx:
                raised = [
                    one for one in known_alarms.known(tx, ledger.member).values() if one.told_at is not None
                ]
                queues = outbox.queues(tx, ledger.member)
    channels = Channels(complain=lambda _: None)
    if as_json:
        click.echo(json.dumps(_waiting_json(config, channels, raised, queues)))
        return
    for alarm in raised:
        click.echo(f"alarm since {alarm.began_at:%Y-%m-%d %H:%M} UTC: {shown(alarm.said)}")
    for queue in queues:
        words = channels.words(config.notify, queue.channel)
        why = (
            ""
            if queue.trouble is None
            else f"; {shown(queue.trouble)}, tried again at {queue.due:%H:%M:%S} UTC"
        )
        click.echo(f"{words}: {queue.number:,} to be told since {queue.since:%Y-%m-%d %H:%M} UTC{why}")
    if not raised and not queues:
        click.echo("Nothing is wrong, and nobody is still to be told anything.")


def _waiting_json(
    config: Config, channels: Channels, raised: list[Alarm], queues: list[outbox.Queue]
) -> dict[str, Any]:
    return {
        "alarms": [
            {
                "alarm": one.name,
                "since": timestamp(one.began_at),
                "told_at": timestamp(one.told_at),
                "said": one.said,
            }
            for one in raised
        ],
        "channels": [
            {
                "channel": channels.words(config.notify, one.channel),
                "waiting": one.number,
                "since": timestamp(one.since),
                "failures": one.failures,
                "reason": one.trouble,
                "next_at": timestamp(one.due),
            }
            for one in queues
        ],
    }


def _tries(config: Config) -> Iterator[Try]:
    """Tell every channel one of each, and yield what came of it."""
    troubles: list[str] = []
    channels = Channels(complain=troubles.append)
    names = channels.known(config.notify)
    for trouble in troubles:
        yield Try(channel="apprise_file", kind="all", answer=Answer(trouble=trouble))
    for channel in names:
        for notice, beside in _examples(config.folders[0], datetime.now(UTC)):
            document = notices.document(notice, uid=uuid4().hex, now=datetime.now(UTC), host=config.node.name)
            told = channels.teller(
                config.notify, channel, stored_of(document | {"test": True}, notice.kind, beside)
            )
            answer = Answer(trouble="it is configured no more") if told is None else told()
            yield Try(channel=channels.words(config.notify, channel), kind=notice.kind, answer=answer)
    if config.notify.heartbeat_url:
        yield Try(channel=HEARTBEAT, kind=HEARTBEAT, answer=notify.beat(config.notify.heartbeat_url))


def _examples(folder: Folder, now: datetime) -> Iterator[tuple[Notice, bytes | None]]:
    """Yield one notice of each kind, about a file of a folder that was never there, and the path of its sidecar."""
    news = News(
        folder=folder.name,
        path=shown(TRIED),
        shown_at=folder.shown_at(TRIED),
        outcome=Outcome.ARTIFICIAL,
        confidence=0.93,
        media=Media.IMAGE,
        reason="this is a test",
    )
    beside = os.path.join(folder.root, TRIED + b".identifai.json")  # noqa: PTH118 - bytes
    yield _tested(notices.of_outcome(news, _document(folder, now))), beside
    digest = Digest(
        since=now - timedelta(minutes=1),
        outcomes={Outcome.ARTIFICIAL: 2},
        folders={folder.name: 2},
        files=(news, news),
    )
    yield _tested(notices.of_digest(digest, now)), None
    watch = Watch(
        name="test",
        healed="This alarm is over",
        trouble=alarms.Trouble(said="This is what an alarm looks like\nTo do: nothing"),
    )
    raised = alarms.after({}, [watch], now)
    for notice in raised.notices:
        yield _tested(notice), None
    fine = Watch(name=watch.name, healed=watch.healed)
    for notice in alarms.after({one.name: one for one in raised.kept}, [fine], now).notices:
        yield _tested(notice), None


def _tested(notice: Notice) -> Notice:
    return Notice(kind=notice.kind, title=f"[test] {notice.title}", text=notice.text, fields=notice.fields)


def _document(folder: Folder, now: datetime) -> dict[str, object]:
    """Return the sidecar of a file that was never there."""
    file = File(
        id=0,
        folder=folder.name,
        path=TRIED,
        fingerprint=Fingerprint(size=0, mtime_ns=0, ctime_ns=0, inode=None),
        noticed_at=now,
        state=FileState.DELIVERED,
        media=Media.IMAGE,
        sha256=bytes(32),
        outcome=Outcome.ARTIFICIAL,
        reason="this is a test",
    )
    analysis = Analysis(
        id=0,
        sha256=bytes(32),
        media=Media.IMAGE,
        mime="image/jpeg",
        options="{}",
        size=0,
        noticed_at=now,
        state=AnalysisState.JUDGED,
        verdict=Verdict(classification=Label.ARTIFICIAL, confidence=0.93, heuristic="Majority"),
    )
    return sidecar.document(file, analysis, response=None, version=__version__, now=now)
