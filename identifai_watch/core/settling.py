"""Has a file stopped changing?

A path that was noticed becomes a candidate; samples of it are collected, and ``decide`` says whether it is
whole or until when to wait, and why. No single sign proves that a writer is done, so several
must agree: quiet, equal samples, nobody writing, a container that is all there. Taking samples is left to
``folder``.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from identifai_watch.core.model import Fingerprint

_NOTHING = timedelta(0)
_NETWORK_SETTLE = timedelta(seconds=10)
_LONGEST_WAIT = timedelta(minutes=10)
_EMPTY_WAIT = timedelta(minutes=10)
_SHORTFALL_WAIT = timedelta(seconds=60)
_LONGEST_PACE = timedelta(seconds=30)
_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long a file must be quiet, and what counts as a change.

    ``network`` is whether others may change it without our kernel's word, ``granularity`` how far two readings
    of the times of one version may differ.
    """

    settle: timedelta
    network: bool
    granularity: timedelta = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one look at a file showed.

    ``writer`` is True if somebody has it open for writing, False if nobody has, None if that cannot be told.
    ``shortfall`` is why its container says that there is more to come ("no moov"), None if it does not.
    """

    fingerprint: Fingerprint
    writer: bool | None
    shortfall: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A path that was noticed, with what is known of its changes.

    ``changed_at`` is the last change known, by event or by sample, ``longest_gap`` the longest time between
    two of them. ``agreeing`` counts the equal samples without a writer since the last change. ``renamed`` is
    whether its name appeared by a rename and nothing has changed it since.
    """

    noticed_at: datetime
    changed_at: datetime
    renamed: bool
    longest_gap: timedelta = _NOTHING
    latest: Sample | None = None
    sampled_at: datetime | None = None
    agreeing: int = 0
    empty_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Take another sample at ``until``; ``why`` says in words what speaks against it."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """It has stopped changing, as this fingerprint."""

    fingerprint: Fingerprint


def notice(candidate: Candidate | None, now: datetime, *, renamed: bool) -> Candidate:
    """Take in that an event or a scan named the path, for the first time or again.

    A rename puts another file under the name, so what was known of the old one is dropped.
    """
    if candidate is None:
        return Candidate(noticed_at=now, changed_at=now, renamed=renamed)
    if renamed:
        return Candidate(noticed_at=candidate.noticed_at, changed_at=now, renamed=True)
    return replace(_changed(candidate, now), renamed=False)


def sampled(
    candidate: Candidate, sample: Sample, now: datetime, granularity: timedelta = _NOTHING
) -> Candidate:
    """Take in a look at the file that was taken at ``now``.

    Samples agree with the first since the last change, so that times which creep are a change in the end.
    """
    latest = candidate.latest
    if now < candidate.changed_at:
        # Taken before the last event, or the clock was set back: it proves nothing, count from here.
        unseen = replace(candidate, latest=None, sampled_at=None, empty_since=None)
        return replace(unseen, changed_at=now, agreeing=0)
    if latest is not None and sample.fingerprint.is_like(latest.fingerprint, granularity):
        sample = replace(sample, fingerprint=latest.fingerprint)
    elif latest is not None:
        candidate = _found_changed(candidate, now)
    is_written = sample.writer is True
    return replace(
        candidate,
        renamed=candidate.renamed and not is_written,
        latest=sample,
        sampled_at=now,
        agreeing=0 if is_written else candidate.agreeing + 1,
        empty_since=None if sample.fingerprint.size > 0 else candidate.empty_since or now,
    )


def decide(candidate: Candidate, now: datetime, policy: Policy) -> Wait | Whole:
    """Say whether the file is whole, or until when to wait and why."""
    sample = candidate.latest
    wait = _NOTHING if candidate.renamed else _settle(candidate, policy)
    if sample is None:
        # Never later than from now on, whatever the clock did since.
        until = min(candidate.changed_at, now) + wait / _SAMPLES
        return Wait(until=until, why="it was just noticed")
    pace = _pace(candidate, now, _settle(candidate, policy))
    if sample.writer is True:
        return Wait(until=now + pace, why="somebody is writing to it")
    if candidate.empty_since is not None and now < candidate.empty_since + _EMPTY_WAIT:
        return Wait(until=min(now + pace, candidate.empty_since + _EMPTY_WAIT), why="it is empty")
    patience = candidate.changed_at + _patience(candidate)
    if sample.shortfall is not None and now < patience:
        why = f"its container says there is more to come ({sample.shortfall})"
        return Wait(until=min(now + pace, patience), why=why)
    return _quiet(candidate, sample, now, wait)


def _quiet(candidate: Candidate, sample: Sample, now: datetime, wait: timedelta) -> Wait | Whole:
    """Ask for ``wait`` without a change, with agreeing samples at its thirds, the last one at its end."""
    sampled_at = candidate.sampled_at or candidate.changed_at
    needed = 1 if candidate.renamed else _SAMPLES
    if candidate.agreeing >= needed and sampled_at >= candidate.changed_at + wait:
        return Whole(fingerprint=sample.fingerprint)
    third = min(candidate.agreeing + 1, _SAMPLES)
    due = candidate.changed_at + wait * third / _SAMPLES
    # A look that came late is not followed by the next at once: two samples of one instant prove nothing.
    until = max(due, sampled_at + wait / (2 * _SAMPLES))
    if now < candidate.changed_at + wait:
        return Wait(until=until, why=f"it changed {(now - candidate.changed_at).total_seconds():.0f} s ago")
    return Wait(until=until, why="it is looked at again to be sure")


def _settle(candidate: Candidate, policy: Policy) -> timedelta:
    """How long it must be quiet: a writer that has paused may pause so long again, and a bit longer."""
    least = max(policy.settle, _NETWORK_SETTLE) if policy.network else policy.settle
    return max(least, min(2 * candidate.longest_gap, _LONGEST_WAIT))


def _patience(candidate: Candidate) -> timedelta:
    """How long a container that says there is more to come is waited for; it is never refused for it."""
    return min(max(_SHORTFALL_WAIT, 4 * candidate.longest_gap), _LONGEST_WAIT)


def _pace(candidate: Candidate, now: datetime, settle: timedelta) -> timedelta:
    """When to look again at a file that is held open or short: the longer it lasts, the more seldom."""
    return max(settle / _SAMPLES, min((now - candidate.changed_at) / 10, _LONGEST_PACE))


def _found_changed(candidate: Candidate, now: datetime) -> Candidate:
    """Take in that a sample differs; a change that an event has told of since the last one is no new one."""
    told = candidate.sampled_at is not None and candidate.changed_at > candidate.sampled_at
    return replace(candidate, agreeing=0) if told else replace(_changed(candidate, now), renamed=False)


def _changed(candidate: Candidate, now: datetime) -> Candidate:
    """Take in a change; what passes before the first byte is written is no pause between writes."""
    gap = _NOTHING if candidate.empty_since is not None else max(now - candidate.changed_at, _NOTHING)
    return replace(candidate, changed_at=now, agreeing=0, longest_gap=max(candidate.longest_gap, gap))
