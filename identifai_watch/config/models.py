"""The whole of a configuration and its sections but the folders, with the defaults that the README names."""

import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from identifai_watch.config.folder import Folder
from identifai_watch.config.values import (
    ApiAddress,
    BacklogHours,
    CertificateFile,
    Count,
    Number,
    OptionalFilePath,
    ProxyAddress,
    Section,
    Switch,
    Text,
    WebAddress,
    absolute,
    secret_text,
    surroundings,
)
from identifai_watch.config.web import Web
from identifai_watch.core import gate
from identifai_watch.core.model import Media, Outcome

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"

NODE = "IDENTIFAI_WATCH_NODE"
"""The variable that names this host where the configuration does not."""

NO_FOLDER = "there is none; write [[folder]] and below it the path to watch"

NO_KEY_HERE = dict.fromkeys(
    ("key", "api_key", "token"),
    "the key never stands in the configuration; name a file that holds it with api.key_file",
)

NEEDS_RESTART: tuple[tuple[str, str], ...] = (
    ("api", "url"),
    ("api", "ca_file"),
    ("api", "proxy"),
    ("api", "uploads"),
    ("ledger", "url"),
    ("node", "name"),
    ("web", "listen"),
    ("web", "previews_megabytes"),
)
"""What the running daemon cannot change: its connections, its threads, its ledger and its listening socket."""


class Api(Section):
    """``[api]``: where identifAI is, and how much of the account may be used. A limit of 0 means none."""

    elsewhere: ClassVar[Mapping[str, str]] = NO_KEY_HERE

    url: ApiAddress = "https://backend.identifai.net"
    key_file: OptionalFilePath = Path("/etc/identifai-watch/api-key")
    ca_file: CertificateFile = None
    proxy: ProxyAddress = Field(default="", repr=False)
    uploads: int = Field(default=4, strict=True, ge=1, le=64)
    posts_per_second: Count = 1
    posts_per_minute: Count = 30
    gets_per_second: Count = 2
    gets_per_minute: Count = 60
    posts_per_day: Count = 0
    backlog_share: Number = Field(default=0.8, ge=0, le=1)
    backlog_hours: BacklogHours = None
    upload_megabits_per_second: Number = Field(default=0.0, ge=0)
    credits_floor: Number = Field(default=0.0, ge=0)
    analysis_deadline_minutes: Number = Field(default=120.0, gt=0, le=43_200)
    send_names: Switch = False

    @property
    def limits(self) -> gate.Limits:
        """The account's limits and the purse, for the gate."""
        names = gate.Limits.__dataclass_fields__.keys() & type(self).model_fields.keys()
        return gate.Limits(**{name: getattr(self, name) for name in names})

    @property
    def upload_rate(self) -> float:
        """Bytes a second of all uploads together; 0 for no brake."""
        return self.upload_megabits_per_second * 1_000_000 / 8

    @property
    def analysis_deadline(self) -> timedelta:
        """How long a verdict is awaited before the analysis is stuck."""
        return timedelta(minutes=self.analysis_deadline_minutes)


class Ledger(Section):
    """``[ledger]``: the database, as an SQLAlchemy address: a file with an absolute path, or a PostgreSQL server."""

    url: str = Field(default="", validate_default=True)

    @field_validator("url", mode="plain")
    @classmethod
    def _known(cls, value: object, info: ValidationInfo) -> str:
        """Make a file's path absolute. The address is never repeated in words: it may hold a password."""
        around = surroundings(info)
        address = secret_text(value)
        if address == "":
            return f"{_SQLITE}{default_ledger(around.environ)}"
        if address.startswith(_POSTGRES):
            return _server(address)
        if not address.startswith(_SQLITE):
            raise ValueError(
                "is not a ledger that is known; write sqlite:////absolute/path/ledger.db, or "
                f"{_POSTGRES}user@host/database"
            )
        path = address.removeprefix(_SQLITE)
        if path in {"", ":memory:"} or "?" in path:
            raise ValueError("does not name a plain file; write sqlite:////absolute/path/ledger.db")
        return f"{_SQLITE}{absolute(path, around.base)}"

    @property
    def path(self) -> Path | None:
        """The file that the ledger is; None if it is on a server."""
        return Path(self.url.removeprefix(_SQLITE)) if self.url.startswith(_SQLITE) else None


def _server(address: str) -> str:
    """Return the address of a PostgreSQL server if it names a database and holds no password; it is never repeated."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is no address; write {_POSTGRES}user@host/database") from None
    if parts.path.strip("/") == "":
        raise ValueError(f"names no database; write {_POSTGRES}user@host/database")
    if parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True):
        raise ValueError(
            "holds a password, which never stands in the configuration; put it into a file that only the daemon may "
            "read, in the form of PostgreSQL's .pgpass, and write ?passfile=/path at the end, or set $PGPASSFILE"
        )
    return address


class Node(Section):
    """``[node]``: what this host is called in a ledger that several hosts use."""

    name: Text = Field(default="", validate_default=True, max_length=100)

    @field_validator("name")
    @classmethod
    def _named(cls, name: str, info: ValidationInfo) -> str:
        return name or surroundings(info).environ.get(NODE, "") or socket.gethostname()


class Limits(Section):
    """``[limits]``: the largest file of each kind that is sent, in bytes (api-notes 1 and 2)."""

    image: int = Field(default=50_000_000, strict=True, ge=1)
    video: int = Field(default=5_000_000_000, strict=True, ge=1)
    audio: int = Field(default=15_000_000, strict=True, ge=1)

    def by_media(self) -> dict[Media, int]:
        """Return the limits by kind."""
        return {media: getattr(self, media) for media in Media}


class Notify(Section):
    """``[notify]``: whom to tell of which outcomes, and of what goes wrong; a number that is 0 means never."""

    command: tuple[Text, ...] = ()
    webhook: WebAddress = Field(default="", repr=False)
    webhook_secret_file: OptionalFilePath = None
    apprise_file: OptionalFilePath = None
    on: tuple[Outcome, ...] = (Outcome.ARTIFICIAL, Outcome.UNCERTAIN, Outcome.REJECTED)
    digest_above: Count = 20
    credits_warn_days: Number = Field(default=7.0, ge=0, le=365)
    heartbeat_url: WebAddress = Field(default="", repr=False)

    @field_validator("command")
    @classmethod
    def _starts_a_program(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if command and command[0] == "":
            raise ValueError("begins with an empty word; name the program first")
        return command

    @property
    def has_channels(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.command or self.webhook or self.apprise_file is not None)

    @property
    def credits_warn(self) -> timedelta:
        """How long the credits have to last; 0 is any time. Nobody is warned where there is nobody to tell."""
        return timedelta(days=self.credits_warn_days) if self.has_channels else timedelta(0)


class Evidence(Section):
    """``[evidence]``: who stamps the day's head of the history, by RFC 3161; an empty ``timestamp_url`` is nobody."""

    timestamp_url: WebAddress = Field(default="", repr=False)
    timestamp_ca_file: CertificateFile = None


class Config(Section):
    """A checked configuration; every path in it is absolute."""

    elsewhere: ClassVar[Mapping[str, str]] = NO_KEY_HERE

    api: Api = Field(default_factory=Api)
    # Made by validation, for its place depends on the environment.
    ledger: Ledger = Field(default_factory=dict, validate_default=True)
    node: Node = Field(default_factory=dict, validate_default=True)
    limits: Limits = Field(default_factory=Limits)
    web: Web = Field(default_factory=Web)
    notify: Notify = Field(default_factory=Notify)
    evidence: Evidence = Field(default_factory=Evidence)
    folders: tuple[Folder, ...] = Field(alias="folder")

    @field_validator("folders")
    @classmethod
    def _some(cls, folders: tuple[Folder, ...]) -> tuple[Folder, ...]:
        if not folders:
            raise ValueError(NO_FOLDER)
        return folders

    @property
    def shared(self) -> frozenset[str]:
        """The names of the folders that several hosts share."""
        return frozenset(folder.name for folder in self.folders if folder.shared)

    def folder_named(self, name: str) -> Folder | None:
        """Return the folder of that name, if there is one."""
        return next((folder for folder in self.folders if folder.name == name), None)

    def is_here(self, node: str) -> bool:
        """Tell whether what the ledger has of a ``node`` is this host's: all of it where the ledger is a file of one host.

        "" is what several hosts share, and so this one's too if ``folder_of`` knows it.
        """
        return self.ledger.path is not None or node in {self.node.name, ""}

    def folder_of(self, node: str, name: str) -> Folder | None:
        """Return the folder of a ``node`` by its name, if it is configured here; another host's may have the same name."""
        found = self.folder_named(name)
        if found is None or not self.is_here(node):
            return None
        return found if node or found.shared or self.ledger.path is not None else None


def default_ledger(environ: Mapping[str, str]) -> Path:
    """Return where the ledger lies when the configuration does not say: systemd's place, else the user's."""
    # systemd joins several directories with colons; the first is the one that the unit names first.
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state == "":
        home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - answers without a home, pathlib raises
        base = environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
        state = f"{base}/identifai-watch"
    return absolute(state, Path("/")) / "ledger.db"


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return where thumbnails are kept: systemd's place, else the user's."""
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    if cache == "":
        home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - answers without a home, pathlib raises
        base = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
        cache = f"{base}/identifai-watch"
    return absolute(cache, Path("/")) / "previews"


def restart_needed(old: Config, new: Config) -> list[str]:
    """Return the dotted names whose change takes effect at the next start only."""
    return [
        f"{section}.{key}"
        for section, key in NEEDS_RESTART
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]
