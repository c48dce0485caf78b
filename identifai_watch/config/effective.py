"""What holds, and where each value is from: the file, ``conf.d``, the environment, or the default."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from identifai_watch.config.source import checked
from identifai_watch.config.tables import Keys, below, fields_of
from identifai_watch.config.values import Surroundings
from identifai_watch.config.written import Written, gather
from identifai_watch.errors import ConfigError

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of one table. ``value`` is as it may be written, None if it is not set or is a secret.

    ``table`` is the header that it stands below, ``folder`` the folder's name, None outside of folders.
    """

    table: str
    folder: str | None
    key: str
    value: Any
    origin: str
    is_secret: bool

    @property
    def dotted(self) -> str:
        """The name by which problems are told, too."""
        rest = self.table.partition(".")[2]
        return (
            ".".join(filter(None, ("folder", self.folder, rest, self.key)))
            if self.folder
            else f"{self.table}.{self.key}"
        )


def effective(path: Path, environ: Mapping[str, str] = os.environ) -> list[Setting]:
    """Return every setting of the configuration in the file ``path``, in the order of the tables.

    Raises:
        ConfigError: it cannot be read, or is wrong, with all its problems.
    """
    try:
        written = gather(path, environ)
        config = checked(written, Surroundings(base=path.absolute().parent, environ=environ))
    except ConfigError as error:
        raise ConfigError(error.problems, path) from error
    dumped = config.model_dump(mode="json", by_alias=True)
    found: list[Setting] = []
    for key, section in below(type(config)).items():
        if key == "folder":
            for number, folder in enumerate(dumped["folder"]):
                places = _Places(written=written, file=written.files[number], folder=folder["name"])
                found += _settings(section, folder, ("folder", number), places)
        else:
            found += _settings(
                section, dumped[key], (key,), _Places(written=written, file=str(path), folder=None)
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    written: Written
    file: str
    folder: str | None

    def origin(self, keys: Keys) -> str:
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.written.variables:
                return f"${self.written.variables[keys[:length]]}"
        place: Any = self.written.document
        for key in keys:
            if not isinstance(key, int) and key not in place:
                return DEFAULT
            place = place[key]
        return self.file


def _settings(
    section: type[BaseModel], dumped: Mapping[str, Any], keys: Keys, places: _Places
) -> Iterator[Setting]:
    """Yield the keys of a table, then those of the tables in it."""
    tables = below(section)
    for key, field in fields_of(section).items():
        if key not in tables:
            is_secret = not field.repr and bool(dumped[key])
            yield Setting(
                table=".".join(part for part in keys if isinstance(part, str)),
                folder=places.folder,
                key=key,
                value=None if is_secret else dumped[key],
                origin=places.origin((*keys, key)),
                is_secret=is_secret,
            )
    for key, table in tables.items():
        yield from _settings(table, dumped[key], (*keys, key), places)
