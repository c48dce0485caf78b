"""By whom a notice is to be told: the channels that are configured, and how each one is told."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from identifai_watch import notify
from identifai_watch.config import Address, Notify, apprise_addresses, webhook_secret
from identifai_watch.core.notices import Kind
from identifai_watch.errors import ConfigError
from identifai_watch.ledger.notices import Stored
from identifai_watch.notify import Answer
from identifai_watch.shift import utc_now

COMMAND = "command"
WEBHOOK = "webhook"
APPRISE = "apprise:"
"""Before the mark of an address: each is a channel of its own, so that one that fails keeps no other waiting."""

Told = Callable[[], Answer]
"""Tells one notice once; for a worker's thread."""


@dataclass(slots=True)
class Channels:
    """The channels of a configuration; ``complain`` is told what is wrong with ``apprise_file``."""

    complain: Callable[[str], None]
    _read: tuple[Path, tuple[int, int]] | None = field(init=False, default=None)
    _addresses: Sequence[Address] = field(init=False, default=())

    def names(self, config: Notify) -> list[str] | None:
        """Return the names of all channels; None if those of Apprise cannot be told now."""
        addresses = self.addresses(config)
        if addresses is None:
            return None
        return [*_plain(config), *(APPRISE + one.mark for one in addresses)]

    def known(self, config: Notify) -> list[str]:
        """Return the names of the channels that are known now."""
        return self.names(config) or _plain(config)

    def addresses(self, config: Notify) -> Sequence[Address] | None:
        """Return the addresses of ``apprise_file``, read anew when it is another one than it was; None if it cannot be."""
        path = config.apprise_file
        if path is None:
            return ()
        try:
            found = path.stat()
            read = (path, (found.st_mtime_ns, found.st_ino))
            if read != self._read:
                self._addresses, self._read = apprise_addresses(path), read
        except OSError as error:
            self.complain(f"notify.apprise_file: {path} cannot be read: {error.strerror}")
            return None
        except ConfigError as error:
            self._read = None
            self.complain(str(error))
            return None
        return self._addresses

    def teller(self, config: Notify, channel: str, stored: Stored) -> Told | None:
        """Return what tells a channel of a notice; None if it is not known."""
        if channel == COMMAND and config.command:
            path = "" if stored.sidecar is None else os.fsdecode(stored.sidecar)
            return partial(notify.run, config.command, path, environment(stored, path), stored.document)
        if channel == WEBHOOK and config.webhook:
            return partial(_post, config, stored)
        for one in self.addresses(config) or ():
            if channel == APPRISE + one.mark:
                said = json.loads(stored.document)
                return partial(notify.alert, one.value, one.words, stored.kind, said["title"], said["text"])
        return None

    def words(self, config: Notify, channel: str) -> str:
        """Return what a channel is called where anybody may read it."""
        addresses = self.addresses(config) or ()
        return next((one.words for one in addresses if channel == APPRISE + one.mark), channel)


def _plain(config: Notify) -> list[str]:
    return [*([COMMAND] if config.command else []), *([WEBHOOK] if config.webhook else [])]


def environment(stored: Stored, sidecar: str) -> dict[str, str]:
    """Return what a command finds in its environment; what a notice does not have is empty."""
    said: dict[str, Any] = json.loads(stored.document)
    names = ("id", "kind", "title", "text", "folder", "path", "shown_at", "outcome", "alarm")
    values = {f"IDENTIFAI_{name.upper()}": str(said.get(name) or "") for name in names}
    return values | {"IDENTIFAI_SIDECAR": sidecar}


def _post(config: Notify, stored: Stored) -> Answer:
    """Post a notice, signed if there is a secret to it; without the secret it is not posted."""
    key: bytes | None = None
    if config.webhook_secret_file is not None:
        try:
            key = notify.signing_key(webhook_secret(config.webhook_secret_file))
        except ConfigError as error:
            return Answer(trouble=str(error), again=True)
        except ValueError as error:
            return Answer(
                trouble=f"notify.webhook_secret_file: {config.webhook_secret_file} {error}", again=True
            )
    return notify.post(config.webhook, stored.uid, stored.document, at=utc_now(), key=key)


def stored_of(document: dict[str, Any], kind: Kind, sidecar: bytes | None = None) -> Stored:
    """Return a notice as it is kept and told, byte for byte the same each time."""
    body = json.dumps(document, ensure_ascii=True, allow_nan=False).encode()
    return Stored(uid=document["id"], kind=kind, document=body, sidecar=sidecar)
