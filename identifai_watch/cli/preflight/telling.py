"""Whom ``[notify]`` names: can they be told? Nobody is, by this; ``notify test`` does that."""

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

from identifai_watch import notify
from identifai_watch.cli.preflight.finding import Finding, error, ok, warning
from identifai_watch.config import Notify, apprise_addresses, webhook_secret
from identifai_watch.config.values import is_loopback
from identifai_watch.errors import ConfigError

ABOUT = "notify"


def findings(config: Notify) -> Iterator[Finding]:
    """Say who is told, and what keeps somebody from it; nothing where nobody is to be told."""
    if not config.has_channels and not config.heartbeat_url:
        return
    wrong = [*_of_command(config), *_of_webhook(config), *_of_apprise(config)]
    yield from wrong
    if not wrong:
        named = {
            "command": config.command,
            "webhook": config.webhook,
            "apprise_file": config.apprise_file,
            "heartbeat_url": config.heartbeat_url,
        }
        told = ", ".join(name for name, value in named.items() if value)
        yield ok(ABOUT, f"{told}; identifai-watch notify test tells everybody one of each")


def _of_command(config: Notify) -> Iterator[Finding]:
    if config.command and shutil.which(config.command[0]) is None:
        yield error(
            ABOUT,
            f"notify.command: {config.command[0]} is not there, or may not be run",
            "Name a program by its whole path, and make it executable.",
        )


def _of_webhook(config: Notify) -> Iterator[Finding]:
    parts = urlsplit(config.webhook)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield warning(
            ABOUT,
            f"notify.webhook: what {parts.hostname} is told travels in the clear",
            "Write https:// if it can.",
        )
    path = config.webhook_secret_file
    if path is None:
        return
    try:
        notify.signing_key(webhook_secret(path))
    except ConfigError as problem:
        yield error(ABOUT, str(problem))
    except ValueError as problem:
        yield error(
            ABOUT, f"notify.webhook_secret_file: {path} {problem}", "openssl rand -base64 32 makes some."
        )


def _of_apprise(config: Notify) -> Iterator[Finding]:
    path = config.apprise_file
    if path is None:
        return
    if not notify.is_installed():
        yield error(ABOUT, "notify.apprise_file needs a library", "pip install 'identifai-watch[alerts]'")
    try:
        addresses = apprise_addresses(path)
    except ConfigError as problem:
        yield error(ABOUT, str(problem))
        return
    if not addresses:
        yield warning(ABOUT, f"notify.apprise_file: {path} holds no address", "Write one on each line.")
