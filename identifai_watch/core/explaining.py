"""Why was a file judged or not, what does it wait for, until when, and what can be done: in words.

``of_row`` explains what the ledger knows, ``of_look`` a file that it does not know yet. Looking at the ledger and at
the disk is left to the commands.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from identifai_watch.core import gate, media, settling
from identifai_watch.core.hours import Hours
from identifai_watch.core.lifecycle import SETTLED
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    File,
    FileState,
    Interim,
    Media,
    PauseReason,
)
from identifai_watch.core.sidecar import shown, timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PAUSES = {
    PauseReason.KEY: "identifAI refuses the key",
    PauseReason.TERMS: "the terms of identifAI are not accepted",
    PauseReason.CREDITS: "no credits are left",
    PauseReason.FLOOR: "the credits are below credits_floor",
    PauseReason.OPERATOR: "an operator paused it",
}
"""Each pause of the account in words."""

REMEDIES = {
    PauseReason.KEY: "put the right key into api.key_file; it is tried again by itself",
    PauseReason.TERMS: "accept the terms on identifAI's site; it is tried again by itself",
    PauseReason.CREDITS: "buy credits; it is tried again by itself",
    PauseReason.FLOOR: "buy credits, or lower api.credits_floor",
    PauseReason.OPERATOR: "identifai-watch resume",
}


NOTHING = "nothing is to be done"

_NOT_TAKEN = " is not taken by identifAI"
_BETTER = {Media.IMAGE: "JPEG", Media.VIDEO: "MP4", Media.AUDIO: "MP3"}
_LEFT = (
    ("no media:", f"{NOTHING}: it is no media"),
    ("it is empty", f"{NOTHING}: it is taken when something is written to it"),
    ("written by identifai-watch", f"{NOTHING}: it is ours"),
    ("this folder's own destination", f"{NOTHING}: it is ours"),
    ("smaller than min_bytes", "lower min_bytes of the folder if it is to be judged"),
    ("withdrawn by", "identifai-watch retry PATH, or judge PATH, if it is to be judged after all"),
    ("the folder is not recursive", "set recursive = true for the folder if it is to be judged"),
)
"""How the rules begin that are answered in their own way, with the remedy of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer: ``state`` in a word, ``says`` in a sentence, ``until`` when something happens next if that is known.

    ``rule`` is the rule by which a file is left alone, ``remedy`` what a person can do, ``notes`` what else matters.
    """

    state: str
    says: str
    until: datetime | None = None
    rule: str | None = None
    remedy: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a file's next step depends on besides its own row.

    ``lies_at`` is the absolute path of where it lies as far as the ledger knows, ``is_there`` whether a look found it
    there, None if nobody looked. ``trouble`` is why its folder is out of reach. ``purse_empty_until`` is when the
    purse that would pay for its upload has room again; ``ahead`` counts the uploads before it, ``sent_about`` is when
    its own may leave. ``folder_paused`` says by whom, why and until when nothing of its folder is sent. ``backlog_hours``
    are those that the backlog waits for until ``backlog_opens_at``, None while it may go. ``host`` is where it lies if
    that is not here: what can be done about it by a daemon, ``is_running`` or not, or on a disk, is done there.
    """

    now: datetime
    path: str
    folder: str
    is_running: bool
    account: Account
    host: str | None = None
    lies_at: str | None = None
    is_there: bool | None = None
    trouble: str | None = None
    is_purse_empty: bool = False
    purse_empty_until: datetime | None = None
    ahead: int = 0
    sent_about: datetime | None = None
    folder_paused: str | None = None
    backlog_hours: Hours | None = None
    backlog_opens_at: datetime | None = None


def of_row(file: File, analysis: Analysis | None, around: Circumstances) -> Explanation:
    """Explain a file that the ledger knows; ``analysis`` is that of its content, if it has one."""
    found = _by_state(file, analysis, around)
    notes = list(found.notes)
    if file.duplicate:
        notes.append(
            "the same content was there before: its analysis serves this file too, and costs nothing more"
        )
    if analysis is not None and analysis.doubt:
        notes.append(
            "doubt: an upload of this content got no answer, so it may have been paid for; the next one is a resend, "
            "which identifAI answers from what it has if the first one arrived"
        )
    if file.decision is not None:
        said = file.decision.reason in (found.rule or "")
        because = "" if said else f" ({file.decision.reason})"
        notes.append(f"the desk decided: {file.decision.choice}{because}, by {file.decision.by}")
    found = replace(found, notes=tuple(notes))
    return _asleep(found, around) if file.state is FileState.WAITING else found


def of_rule(rule: str) -> Explanation:
    """Explain a file that a rule leaves alone."""
    return Explanation(
        state="left alone",
        says="A rule leaves it alone: it is neither hashed nor sent.",
        rule=rule,
        remedy=_left_remedy(rule),
    )


def _left_remedy(rule: str) -> str:
    """Return what a person can do about a rule, by the words in which ``media`` and the folder's rules name it."""
    for beginning, remedy in _LEFT:
        if rule.startswith(beginning):
            return remedy
    if rule.endswith(_NOT_TAKEN):
        label = rule.removesuffix(_NOT_TAKEN)
        kind = next(
            (form.media for form in media.FORMATS.values() if form.label == label and form.media), Media.IMAGE
        )
        return (
            f'convert it to {_BETTER[kind]}, or set unsupported = "reject" to have it delivered as rejected'
        )
    if rule.endswith("not judged in this folder"):
        return "add its kind to media of the folder if it is to be judged"
    if rule.startswith(".identifai-ignore"):
        return f"change or remove {rule.partition(': ')[0]} if it is to be judged"
    return "change the rule or the name if it is to be judged"


def of_look(
    name: bytes,
    sniffed: str | None,
    sample: settling.Sample,
    rules: media.Policy,
    policy: settling.Policy,
    around: Circumstances,
) -> Explanation:
    """Explain a file that the ledger does not know yet, from one look at it."""
    waits = _settles(sample, around.now, policy)
    if waits is not None:
        return _asleep(waits, around)
    judged = media.judge(name, sniffed, sample.fingerprint.size, rules)
    if isinstance(judged, media.Leave):
        return of_rule(judged.reason)
    if isinstance(judged, media.Send):
        says = f"It is whole, and would be sent as {judged.media} ({judged.mime}). The next event or scan takes it."
    else:
        says = "The next event or scan takes it; it will be rejected without being sent."
    rule = judged.reason if isinstance(judged, media.Reject) else None
    seen = Explanation(state="not noticed yet", says=says, rule=rule)
    if around.trouble is not None:
        seen = replace(seen, says=f"{seen.says} Its folder is out of reach: {around.trouble}.")
    return _asleep(seen, around)


def explanation_json(found: Explanation, around: Circumstances) -> dict[str, Any]:
    """Return the document of ``explain --json``."""
    values = asdict(found)
    return {"path": around.path, "folder": around.folder} | values | {"until": timestamp(found.until)}


def _settles(sample: settling.Sample, now: datetime, policy: settling.Policy) -> Explanation | None:
    """Say what settling would wait for, None if nothing that one look shows speaks against the file.

    The daemon has seen more: its own wait may be longer.
    """
    shape = sample.fingerprint
    changed_at = min(now, _EPOCH + timedelta(microseconds=max(shape.mtime_ns, shape.ctime_ns) // 1000))
    candidate = settling.sampled(settling.notice(None, changed_at, renamed=False), sample, now)
    if candidate.empty_since is not None:
        candidate = replace(candidate, empty_since=changed_at)
    # A file that came by rename needs one sample only: whole as such and quiet, nothing is left to wait for.
    at_once = settling.decide(replace(candidate, renamed=True), now, policy)
    if isinstance(at_once, settling.Whole) and now >= changed_at + policy.settle:
        return None
    decision = settling.decide(candidate, now, policy)
    if isinstance(decision, settling.Whole):
        return None
    return Explanation(
        state="settling",
        says=f"It is not taken yet: {decision.why}.",
        until=decision.until,
        remedy="nothing is to be done: it is taken when it has stopped changing",
    )


def _by_state(file: File, analysis: Analysis | None, around: Circumstances) -> Explanation:
    match file.state:
        case FileState.SUPERSEDED:
            return Explanation(
                state="superseded", says="Its content was replaced; another row stands for this path."
            )
        case FileState.GONE:
            return Explanation(
                state="gone",
                says="It is no longer there: two scans of its directory did not see it.",
                remedy="put it back; it goes on where it stood, and is not paid again",
            )
        case FileState.DELIVERED:
            return _delivered(file, analysis, around)
        case FileState.WAITING:
            return _waiting(file, analysis, around)


def _delivered(file: File, analysis: Analysis | None, around: Circumstances) -> Explanation:
    verdict = None if analysis is None else analysis.verdict
    sure = "" if verdict is None else f" (identifAI: {verdict.classification} {verdict.confidence:.2f})"
    says = f"It was delivered as {file.outcome}{sure}, {_instant(file.delivered_at or file.noticed_at)}."
    lies_at = around.lies_at or shown(file.lies_at or file.path)
    if around.is_there:
        says += f" It lies at {lies_at} now."
    elif around.is_there is not None:
        says += f" It was left at {lies_at}, and is not there any more."
    elif file.lies_at is not None:
        says += f" It was put at {lies_at}."
    notes = ["a scan did not see it: if the next one does not either, it is gone"] if file.missing else []
    if analysis is not None and analysis.state not in SETTLED:
        notes.append(f"its verdict is still to come: {_analysed(analysis, around).says}")
    return Explanation(state="delivered", says=says, rule=file.reason, notes=tuple(notes))


def _waiting(file: File, analysis: Analysis | None, around: Circumstances) -> Explanation:
    if file.held:
        return Explanation(
            state="held",
            says='It was there before the daemon, and existing = "hold": it is neither hashed nor sent.',
            remedy=f"identifai-watch backlog release --folder {around.folder}",
        )
    if file.interim is Interim.CHANGING:
        says = "It is no longer what was judged. It is judged anew when it has settled; its sidecar says so."
        return Explanation(state="changing", says=says)
    if file.stuck_at is not None:
        return _stuck("its verdict could not be delivered", file.trouble, file.stuck_at, around)
    if analysis is not None and analysis.state not in SETTLED:
        return _analysed(analysis, around)
    if analysis is None and file.refusal is None and file.backlog and around.backlog_hours is not None:
        found = _not_its_hour("hashed and sent", around)
    elif analysis is None and file.refusal is None:
        found = Explanation(
            state="waiting", says="It waits to be looked at and hashed; that begins when it has settled."
        )
    else:
        found = _to_deliver(file, around)
    if around.trouble is not None:
        return replace(found, says=f"{found.says} Its folder is out of reach: {around.trouble}.", until=None)
    return found


def _to_deliver(file: File, around: Circumstances) -> Explanation:
    what = "Its verdict is there" if file.refusal is None else "It is refused here"
    until = file.due if file.due is not None and file.due > around.now else None
    if not file.failures:
        return Explanation(
            state="delivering", says=f"{what} and is delivered next.", rule=file.refusal, until=until
        )
    why = "" if file.trouble is None else f" ({file.trouble})"
    failed = f"{_number(file.failures, 'attempt')} to deliver it failed{why}, the next one follows"
    return Explanation(
        state="delivering",
        says=f"{what}; {failed}.",
        rule=file.refusal,
        until=until,
        remedy=f"when the cause is mended: identifai-watch retry {around.path}",
    )


def _stuck(what: str, reason: str | None, since: datetime, around: Circumstances) -> Explanation:
    because = "" if reason is None else f": {reason}"
    return Explanation(
        state="stuck",
        says=f"It is stuck since {_instant(since)}, for {what}{because}. It is not tried again by itself.",
        remedy=f"identifai-watch retry {around.path}",
    )


def _analysed(analysis: Analysis, around: Circumstances) -> Explanation:
    """Explain a file that waits for the analysis of its content."""
    if analysis.stuck_at is not None:
        what = "its content could not be sent"
        if analysis.state is AnalysisState.AWAITING:
            what = "its verdict did not come"
        return _stuck(what, analysis.reason, analysis.stuck_at, around)
    by_state: dict[AnalysisState, Callable[[Analysis, Circumstances], Explanation]] = {
        AnalysisState.QUEUED: _queued,
        AnalysisState.SENDING: _sending,
        AnalysisState.AWAITING: _awaiting,
    }
    return by_state[analysis.state](analysis, around)


def _queued(analysis: Analysis, around: Circumstances) -> Explanation:
    now = around.now
    paused = _paused(around.account)
    if paused is not None:
        return replace(paused, state="queued")
    if around.trouble is not None:
        return Explanation(
            state="queued", says=f"It cannot be read: its folder is out of reach: {around.trouble}."
        )
    if around.folder_paused is not None:
        return Explanation(
            state="paused",
            says=f"Nothing of its folder is sent: it is paused {around.folder_paused}.",
            remedy=f"identifai-watch resume --folder {around.folder}{_of_host(around)}",
        )
    if analysis.backlog and around.backlog_hours is not None:
        return _not_its_hour("sent", around)
    if analysis.due is None:
        return Explanation(state="queued", says="It rests, for no file with its content can be seen.")
    if around.is_purse_empty:
        whose = "the backlog's share of posts_per_day" if analysis.backlog else "the purse of posts_per_day"
        return Explanation(
            state="queued",
            says=f"It waits for money: {whose} is spent.",
            until=around.purse_empty_until,
            remedy="raise api.posts_per_day or api.backlog_share if that is too little",
        )
    held = _network_holds(around)
    if held is not None:
        return replace(held, state="queued")
    if analysis.due > now:
        why = f" ({analysis.reason})" if analysis.reason else ""
        return Explanation(
            state="queued",
            says=f"The last of {_number(analysis.failures, 'attempt')} to send it failed{why}; the next one follows.",
            until=analysis.due,
        )
    return Explanation(
        state="queued",
        says=f"It waits for its upload, with {around.ahead} before it within the account's limits.",
        until=around.sent_about,
    )


def _not_its_hour(what: str, around: Circumstances) -> Explanation:
    return Explanation(
        state="queued",
        says=f'It was there before the daemon, and is {what} within backlog_hours = "{around.backlog_hours}" only.',
        until=around.backlog_opens_at,
        remedy=f"change api.backlog_hours if that is too late, or for this file: identifai-watch judge {around.path}",
    )


def _sending(_analysis: Analysis, around: Circumstances) -> Explanation:
    if around.is_running:
        return Explanation(state="sending", says="It is being uploaded now.")
    return Explanation(
        state="sending",
        says="It was being sent when the daemon ended. The next start sends it again, as a resend.",
    )


def _awaiting(analysis: Analysis, around: Circumstances) -> Explanation:
    paused = _paused(around.account)
    if paused is not None and around.account.reason not in gate.POLLS_GO_ON:
        return replace(paused, state="awaiting")
    held = _network_holds(around)
    if held is not None:
        return replace(held, state="awaiting")
    says = f"It is at identifAI as {analysis.identifier}, and its verdict is asked for."
    notes = () if analysis.deadline is None else (f"it counts as stuck after {_instant(analysis.deadline)}",)
    return Explanation(state="awaiting", says=says, until=analysis.due, notes=notes)


def _paused(account: Account) -> Explanation | None:
    if account.state is not AccountState.PAUSED or account.reason is None:
        return None
    detail = f" ({account.detail})" if account.detail else ""
    return Explanation(
        state="paused",
        says=f"The account is paused: {PAUSES[account.reason]}{detail}.",
        until=account.next_probe_at,
        remedy=REMEDIES[account.reason],
    )


def _network_holds(around: Circumstances) -> Explanation | None:
    until = around.account.hold_until
    if until is None or until <= around.now:
        return None
    return Explanation(
        state="held up",
        says="identifAI cannot be reached or asks us to wait; one request at a time tries.",
        until=until,
    )


def _asleep(found: Explanation, around: Circumstances) -> Explanation:
    """Add that nothing moves while no daemon runs."""
    if around.is_running:
        return found
    where = "" if around.host is None else f" on {around.host}"
    notes = (*found.notes, f"no daemon runs{where}, so nothing happens until one does")
    return replace(found, until=None, notes=notes, remedy=found.remedy or f"identifai-watch run{where}")


def _of_host(around: Circumstances) -> str:
    return "" if around.host is None else f" --node {around.host}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
