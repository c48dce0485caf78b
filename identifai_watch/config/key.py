"""The account's key: where it is looked for, and a value that does not show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from identifai_watch.config.models import Config
from identifai_watch.errors import AccountError

VARIABLE = "IDENTIFAI_API_KEY"
CREDENTIAL = "api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret ``value``, never in a repr, and the place it came from in words."""

    value: str = field(repr=False)
    source: str


def read_key(config: Config, environ: Mapping[str, str]) -> Key:
    """Return the key from the environment, the systemd credential or ``key_file``, in that order.

    Raises:
        AccountError: there is none, or what is there cannot be read or be a key.
    """
    if environ.get(VARIABLE, "").strip():
        return _checked(environ[VARIABLE], f"${VARIABLE}")
    credential = _credential(environ)
    for path, what in (
        (credential, f"the systemd credential {CREDENTIAL}"),
        (config.api.key_file, "api.key_file"),
    ):
        content = None if path is None else _read(path, what)
        if content is not None:
            return _checked(content, f"{what} ({path})")
    raise AccountError(
        "there is no API key; it is looked for in three places:\n"
        f"  1. the environment variable {VARIABLE} (not set)\n"
        f"  2. the systemd credential {CREDENTIAL} ({'no credentials given' if credential is None else f'{credential}: no such file'})\n"
        f"  3. the file of api.key_file ({'not set' if config.api.key_file is None else f'{config.api.key_file}: no such file'})\n"
        "Copy it from the user menu of the identifAI dashboard into one of them."
    )


def _credential(environ: Mapping[str, str]) -> Path | None:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(directory, CREDENTIAL) if directory else None


def _read(path: Path, what: str) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccountError(f"{what} ({path}) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without its cause: that would show the bytes.
        raise AccountError(f"{what} ({path}) is not text; it holds the key alone, on one line") from None


def _checked(content: str, source: str) -> Key:
    """Refuse what no header can carry, before a library repeats it in the words of an exception."""
    value = content.strip()
    if value == "":
        raise AccountError(f"{source} is empty; it holds the key alone, on one line")
    if not all("!" <= character <= "~" for character in value):
        raise AccountError(
            f"{source} holds more than a key; it holds the key alone, on one line, without spaces"
        )
    return Key(value=value, source=source)
