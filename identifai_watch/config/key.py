"""The account's key: where it is looked for, and a value that does not show it."""

import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from identifai_watch.config.models import Config
from identifai_watch.errors import AccountError

VARIABLE = "IDENTIFAI_API_KEY"
CREDENTIAL = "api-key"

STRANGERS = 0o007
"""The bits of a mode that are everybody's. systemd's own copy is exempt: it lies where only the service may look."""

_CREDENTIAL_WORDS = f"the systemd credential {CREDENTIAL}"
_FILE_WORDS = "api.key_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret ``value``, never in a repr, and the place it came from in words.

    ``mode`` is that of ``key_file``, None where the key came from elsewhere.
    """

    value: str = field(repr=False)
    source: str
    mode: int | None = None


def read_key(config: Config, environ: Mapping[str, str]) -> Key:
    """Return the key from the environment, the systemd credential or ``key_file``, in that order.

    Raises:
        AccountError: there is none, what is there cannot be read or be a key, or ``key_file`` is open to everybody.
    """
    if environ.get(VARIABLE, "").strip():
        return Key(value=checked(environ[VARIABLE], f"${VARIABLE}"), source=f"${VARIABLE}")
    credential, file = _credential(environ), config.api.key_file
    if credential is not None and (found := _read(credential, _CREDENTIAL_WORDS)) is not None:
        return Key(value=found[0], source=_named(credential, _CREDENTIAL_WORDS))
    if file is not None and (found := _read(file, _FILE_WORDS)) is not None:
        value, mode = found
        if mode & STRANGERS:
            raise AccountError(
                f"{_named(file, _FILE_WORDS)} is open to every user of this host (mode {mode:04o}); "
                f"chmod 600 {shlex.quote(str(file))}"
            )
        return Key(value=value, source=_named(file, _FILE_WORDS), mode=mode)
    raise AccountError(
        "there is no API key; it is looked for in three places:\n"
        f"  1. the environment variable {VARIABLE} (not set)\n"
        f"  2. the systemd credential {CREDENTIAL} ({'no credentials given' if credential is None else f'{credential}: no such file'})\n"
        f"  3. the file of api.key_file ({'not set' if file is None else f'{file}: no such file'})\n"
        "Copy it from the user menu of the identifAI dashboard into one of them."
    )


def _credential(environ: Mapping[str, str]) -> Path | None:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(directory, CREDENTIAL) if directory else None


def _named(path: Path, what: str) -> str:
    return f"{what} ({path})"


def _read(path: Path, what: str) -> tuple[str, int] | None:
    """Return the key in a file and the file's mode, both of one descriptor; None if there is no file."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccountError(f"{_named(path, what)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without its cause: that would show the bytes.
        raise AccountError(f"{_named(path, what)} is not text; it holds the key alone, on one line") from None
    return checked(content, _named(path, what)), mode


def checked(content: str, source: str) -> str:
    """Return the key that a text holds; refuse what no header can carry, before a library repeats it in its words.

    Raises:
        AccountError: it is no key; the error names its ``source``, and nothing of it.
    """
    value = content.strip()
    if value == "":
        raise AccountError(f"{source} is empty; it holds the key alone, on one line")
    if not all("!" <= character <= "~" for character in value):
        raise AccountError(
            f"{source} holds more than a key; it holds the key alone, on one line, without spaces"
        )
    return value
