"""Files that hold secrets other than the key: what signs a webhook, and the addresses of Apprise. Read when they are used."""

import hashlib
import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path

from identifai_watch.config.key import STRANGERS
from identifai_watch.errors import ConfigError

SECRET = "notify.webhook_secret_file"  # noqa: S105 - the name of a key of the configuration
ADDRESSES = "notify.apprise_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One line of ``apprise_file``: the secret address, and what it may be called: its line and the service's name.

    ``mark`` tells one address from another, also when lines move, and does not give it away.
    """

    value: str = field(repr=False)
    line: int
    mark: str

    @property
    def words(self) -> str:
        """Return what the address is called where anybody may read it."""
        return f"line {self.line} of apprise_file ({self.value.partition('://')[0]}://)"


def webhook_secret(path: Path) -> str:
    """Return the secret that signs what the webhook gets.

    Raises:
        ConfigError: There is none, or everybody could read it.
    """
    secret = _text(path, SECRET).strip()
    if secret == "":
        raise ConfigError([f"{SECRET}: {path} is empty; it holds the secret alone, on one line"])
    return secret


def apprise_addresses(path: Path) -> list[Address]:
    """Return the addresses of a file with one on each line; lines that begin with ``#`` are left out.

    Raises:
        ConfigError: It cannot be read, or everybody could read it.
    """
    found: dict[str, Address] = {}
    for number, line in enumerate(_text(path, ADDRESSES).splitlines(), start=1):
        value = line.strip()
        if value != "" and not value.startswith("#"):
            mark = hashlib.sha256(value.encode()).hexdigest()[:8]
            found.setdefault(mark, Address(value=value, line=number, mark=mark))
    return list(found.values())


def _text(path: Path, name: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        raise ConfigError([f"{name}: {path} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        # Without its cause: that would show the bytes.
        raise ConfigError([f"{name}: {path} is no text"]) from None
    if mode & STRANGERS:
        raise ConfigError(
            [
                f"{name}: {path} is open to every user of this host (mode {mode:04o}); chmod 600 {shlex.quote(str(path))}"
            ]
        )
    return content
