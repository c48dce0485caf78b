"""The kinds of value that a configuration holds, each with what is said when it is wrong.

Validators raise ``ValueError`` with words that follow a dotted name ("..: is empty"), or ``wrong`` where one
value holds several mistakes. What a whole section looks like is left to ``models`` and ``folder``.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from identifai_watch.core import hours
from identifai_watch.core.model import Label, Media

_HOST_AND_PORT = re.compile(r"(?:(?P<host>[^][:/\s]+)|\[(?P<ip6>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{1,5})")

PROBLEMS = "problems"
"""The type of the errors that ``wrong`` makes; their ``found`` are pairs of (keys below, words)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a value's meaning depends on: the directory of the configuration file, and the environment."""

    base: Path
    environ: Mapping[str, str]


class Section(BaseModel):
    """A frozen table of the file; a key that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def surroundings(info: ValidationInfo) -> Surroundings:
    """Return what ``parse`` handed to the validation."""
    if not isinstance(info.context, Surroundings):
        raise TypeError("a configuration is validated with its Surroundings as context")
    return info.context


def wrong(found: Sequence[tuple[tuple[str, ...], str]]) -> PydanticCustomError:
    """Return one error that tells several mistakes, each with the keys that lead to it from here."""
    return PydanticCustomError(PROBLEMS, "several mistakes", {"found": found})


def text(value: object) -> str:
    """Return ``value`` if it is text without control characters."""
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "is not text; put it in quotes")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("holds control characters")
    return value


def secret_text(value: object) -> str:
    """Return ``value`` as ``text`` does; its error is not followed by the value."""
    if not isinstance(value, str):
        raise PydanticCustomError("secret_type", "is not text; put it in quotes")
    return text(value)


def absolute(value: str, base: Path) -> Path:
    """Return the path that ``value`` names, ``~`` expanded, relative to ``base``, without ``..``.

    Links are not followed: a configuration must load while a mount hangs.
    """
    if value == "":
        raise ValueError("is empty; name a path")
    expanded = os.path.expanduser(value)  # noqa: PTH111 - pathlib's raises RuntimeError instead of answering
    if expanded.startswith("~"):
        raise ValueError(
            f'"{value}" begins with the home of a user that does not exist; write ./~ if that is its name'
        )
    # normpath keeps two leading slashes, which POSIX leaves undefined and Linux takes as one.
    return Path("/" + os.path.normpath(base / expanded).lstrip("/"))


def _path(value: object, info: ValidationInfo) -> Path:
    return absolute(text(value), surroundings(info).base)


def _optional_path(value: object, info: ValidationInfo) -> Path | None:
    return None if value == "" else _path(value, info)


def _mode(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("mode_type", 'is not text; write the octal digits in quotes, like "0664"')
    if not (3 <= len(value) <= 4 and set(value) <= set("01234567")):
        raise ValueError(f'"{value}" is not a mode; write three or four octal digits, like "0664"')
    return int(value, 8)


def split_address(address: str) -> SplitResult | None:
    """Return the parts of an address that has a host and a sound port, else None."""
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if parts.hostname and has_port and " " not in address else None


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hours(value: object) -> hours.Hours | None:
    wanted = text(value)
    if wanted == "":
        return None
    try:
        return hours.parsed(wanted)
    except ValueError as error:
        raise ValueError(f'"{wanted}" {error}') from None


def _web_address(value: object) -> str:
    """Accept an address to call, or nothing. It is never repeated in words: its path may be a secret."""
    address = secret_text(value)
    parts = split_address(address)
    if address and (parts is None or parts.scheme not in {"http", "https"}):
        raise ValueError("is not an address; it begins with https:// or http:// and names a host")
    return address


def _api_address(value: object) -> str:
    address = text(value)
    parts = split_address(address)
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ValueError("is not an address; it is like https://backend.identifai.net")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("holds more than a host and a path; leave user, query and fragment away")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"would send the key to {parts.hostname} in the clear; write https://")
    return address.rstrip("/")


def _proxy_address(value: object) -> str:
    """Accept the address of a proxy, or nothing. It is never repeated in words: it may hold a password."""
    address = secret_text(value)
    parts = split_address(address)
    if address and (parts is None or parts.scheme not in {"http", "https"}):
        raise ValueError("is not the address of a proxy; it is like http://proxy.example.org:3128")
    if parts is not None and (parts.path.strip("/") or parts.query or parts.fragment):
        raise ValueError("holds more than a host, a port, a user and a password; leave the rest away")
    return address.rstrip("/")


def _certificate_file(value: object, info: ValidationInfo) -> Path | None:
    """Accept a file of certificates that is there: without it no request would ever leave."""
    path = _optional_path(value, info)
    if path is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate; it is a file of them in PEM") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return path


def _listen(value: object) -> str:
    address = text(value)
    if address == "":
        return address
    parts = _split_listen(address)
    if parts is None:
        raise ValueError(f'"{address}" is not host:port; write it like 127.0.0.1:8451, or "" for off')
    return address


def _split_listen(address: str) -> tuple[str, int] | None:
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        return None
    return match["host"] or match["ip6"], int(match["port"])


def listen_address(listen: str) -> tuple[str, int] | None:
    """Return host and port of a checked ``listen``, or None when it is off."""
    return _split_listen(listen)


def suggested(key: str, known: Sequence[str]) -> str:
    """Return what an unknown key may have been meant to be, or all that is known."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


Thresholds = Mapping[Media, Mapping[Label, float]]


def thresholds(value: object) -> Thresholds:
    """Spread ``min_confidence`` over kinds and labels.

    It is a number, or ``{ human = n, artificial = n }``, or ``{ image = either of these, ... }``; what is not
    named is 0.
    """
    found: list[tuple[tuple[str, ...], str]] = []
    if isinstance(value, dict) and not set(value) <= set(Label):
        _refuse_strangers(value, [*Media] if set(value) & set(Media) else [*Label, *Media], (), found)
        spread = {media: _by_label(value.get(media, 0.0), (media,), found) for media in Media}
    else:
        labels = _by_label(value, (), found)
        spread = dict.fromkeys(Media, labels)
    if found:
        raise wrong(found)
    return spread


def _thresholds_written(spread: Thresholds) -> object:
    """Return thresholds as briefly as they may be written."""
    each = {
        str(media): {str(label): least for label, least in labels.items()} for media, labels in spread.items()
    }
    first = next(iter(each.values()))
    if any(labels != first for labels in each.values()):
        return each
    return first if len(set(first.values())) > 1 else next(iter(first.values()))


def _by_label(
    value: object, keys: tuple[str, ...], found: list[tuple[tuple[str, ...], str]]
) -> dict[Label, float]:
    if not isinstance(value, dict):
        return dict.fromkeys(Label, _share(value, keys, found))
    _refuse_strangers(value, [*Label], keys, found)
    return {label: _share(value.get(label, 0.0), (*keys, label), found) for label in Label}


def _share(value: object, keys: tuple[str, ...], found: list[tuple[tuple[str, ...], str]]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        found.append((keys, "is not a number; write one from 0.0 to 1.0, or a table of them"))
    elif not 0 <= value <= 1:
        found.append((keys, f"{value} is not between 0.0 and 1.0"))
    else:
        return float(value)
    return 0.0


def _refuse_strangers(
    table: dict[str, object],
    known: Sequence[str],
    keys: tuple[str, ...],
    found: list[tuple[tuple[str, ...], str]],
) -> None:
    found.extend(
        ((*keys, stranger), f"unknown key; {suggested(stranger, known)}")
        for stranger in table
        if stranger not in known
    )


_AS_WRITTEN = PlainSerializer(lambda value: "" if value is None else str(value))
"""Dumped as it may be written again."""

Text = Annotated[str, BeforeValidator(text)]
FilePath = Annotated[Path, PlainValidator(_path)]
OptionalFilePath = Annotated[Path | None, PlainValidator(_optional_path), _AS_WRITTEN]
Mode = Annotated[int, PlainValidator(_mode), PlainSerializer(lambda mode: f"{mode:04o}")]
BacklogHours = Annotated[hours.Hours | None, PlainValidator(_hours), _AS_WRITTEN]
WebAddress = Annotated[str, PlainValidator(_web_address)]
ProxyAddress = Annotated[str, PlainValidator(_proxy_address)]
CertificateFile = Annotated[Path | None, PlainValidator(_certificate_file), _AS_WRITTEN]
ApiAddress = Annotated[str, PlainValidator(_api_address)]
Listen = Annotated[str, PlainValidator(_listen)]
MinConfidence = Annotated[Thresholds, PlainValidator(thresholds), PlainSerializer(_thresholds_written)]
Count = Annotated[int, Field(strict=True, ge=0)]
Switch = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
