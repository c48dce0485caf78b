"""The key and the account: where the key is from, whether identifAI is reached, by which way, and what it says."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from identifai_watch import config as configuration
from identifai_watch import duties
from identifai_watch.cli.preflight.finding import Finding, error, ok, warning
from identifai_watch.cli.preflight.patience import Progress
from identifai_watch.config import Config, Key
from identifai_watch.core import answers
from identifai_watch.core.replies import Answer, Failure
from identifai_watch.core.words import amount, span
from identifai_watch.errors import AccountError

GROUP_READS = 0o040

ASKING_SECONDS = 90.0
"""More than the request's own time-outs, which say better what is wrong."""

CLOCK_WARNING = timedelta(seconds=30)
CLOCK_ERROR = timedelta(minutes=5)
"""Certificates, the account's windows and every time in a sidecar are told by the clock."""

CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
"""How OpenSSL's word for a certificate that is refused begins, whatever the reason."""


def look(config: Config, progress: Progress) -> Iterator[Finding]:
    """Look at the key, and ask for the credits with it: nothing else tells as much, and it is free."""
    progress.at("reading the key")
    try:
        key = configuration.read_key(config, os.environ)
    except AccountError as wrong:
        yield error("key", str(wrong))
        return
    yield from of_key(config, key)
    progress.at(f"asking {config.api.url}", seconds=ASKING_SECONDS)
    api = duties.connect(config.api, lambda: key.value, lambda _: None)
    try:
        asked_at = datetime.now(UTC)
        answer = api.credits()
        now = datetime.now(UTC)
        ends = api.certificate_ends
    finally:
        api.close()
    yield way(config, answer, ends)
    if isinstance(answer, Failure):
        return
    yield from of_clock(answer.headers.get("date"), asked_at + (now - asked_at) / 2)
    yield _credits(config, answer, now)


def of_key(config: Config, key: Key) -> Iterator[Finding]:
    """Say where the key is from, and who else may read it."""
    mode = "" if key.mode is None else f", mode {key.mode:04o}"
    if key.mode is not None and key.mode & GROUP_READS:
        yield warning(
            "key", f"from {key.source}{mode}: its group can read it", f"chmod 600 {config.api.key_file}"
        )
    else:
        yield ok("key", f"from {key.source}{mode}")


def way(config: Config, answer: Answer, ends: datetime | None) -> Finding:
    """Say how identifAI is reached: encrypted and verified, or in plain on this machine."""
    about = f"connection to {config.api.url}"
    proxy = urlsplit(config.api.proxy)
    through = f" through the proxy {proxy.hostname}:{proxy.port or (443 if proxy.scheme == 'https' else 80)}"
    is_plain = config.api.url.startswith("http://")
    by = through if config.api.proxy and not is_plain else ""
    if isinstance(answer, Failure):
        is_certificate = CERTIFICATE in answer.reason
        said = f"the certificate is refused{by}: " if is_certificate else f"cannot be reached{by}: "
        return error(
            about,
            said + answer.reason,
            "Where a proxy inspects TLS, or the API is your own, name its authority with api.ca_file."
            if is_certificate
            else "Is api.url right, does this host get out, and does it need api.proxy?",
        )
    if is_plain:
        return ok(about, "plain http, which stays on this machine")
    trusted = "the usual authorities" if config.api.ca_file is None else str(config.api.ca_file)
    good = "" if ends is None else f", good until {ends:%Y-%m-%d}"
    return ok(about, f"https{by}, the certificate is verified by {trusted}{good}")


def of_clock(date: str | None, now: datetime) -> Iterator[Finding]:
    """Hold this host's clock, which said ``now`` then, against the answer's Date, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        yield ok("clock", "not compared: the answer says no date")
        return
    off = now - (theirs if theirs.tzinfo is not None else theirs.replace(tzinfo=UTC))
    said = f"{span(abs(off).total_seconds())} {'ahead of' if off > timedelta() else 'behind'} identifAI's"
    remedy = "Have it set by the network: timedatectl set-ntp true."
    if abs(off) > CLOCK_ERROR:
        yield error("clock", said, remedy)
    elif abs(off) > CLOCK_WARNING:
        yield warning("clock", said, remedy)
    else:
        yield ok("clock", "agrees with identifAI's")


def _credits(config: Config, answer: Answer, now: datetime) -> Finding:
    found = answers.credits(answer, now=now)
    about, floor = f"account at {config.api.url}", config.api.credits_floor
    if found.available is None:
        return error(
            about,
            f"is refused: {found.why or 'no reason was given'}",
            "Is the key the one of the dashboard, are the terms accepted there, and is api.url right?",
        )
    if found.available <= 0 or found.available < floor:
        return error(
            about,
            f"{amount(found.available)} credits are left, with credits_floor = {amount(floor)}",
            "Buy credits, or lower api.credits_floor; until then everything waits.",
        )
    return ok(about, f"{amount(found.available)} credits are left")
