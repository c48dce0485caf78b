"""Who may use the page: the file of users, each with a role and the hash of a token.

One line a user, ``NAME:ROLE:scrypt:N:R:P:SALT:HASH``. A token is made here and printed once; its file holds nothing that
opens anything. The file is read again when it changes, so that a user who is taken out of it is out at once.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock

import anyio.to_thread

from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
RESERVED = frozenset({"daemon", "page"})
"""What stands in the history for the daemon, and for whoever sits at this machine: nobody is called so."""

_COST = (1 << 14, 8, 1)
_KNOWN_TOKENS = 1_000
"""Tokens that were found right are remembered by their digest, so that a machine that asks often is answered quickly."""


class Role(StrEnum):
    """What somebody may do: look, or also decide, retry, rejudge and release."""

    VIEW = "view"
    EDIT = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One line of the file; ``secret`` is the hash of the token, which also signs the user's sessions."""

    name: str
    role: Role
    cost: tuple[int, int, int]
    salt: bytes
    secret: bytes

    def has(self, token: str) -> bool:
        """Tell whether this is the user's token; it takes about a twentieth of a second."""
        return hmac.compare_digest(_hashed(token, self.salt, self.cost), self.secret)

    def line(self) -> str:
        """Return the line of the file."""
        costs = ":".join(map(str, self.cost))
        salt, secret = (base64.b64encode(value).decode() for value in (self.salt, self.secret))
        return f"{self.name}:{self.role}:scrypt:{costs}:{salt}:{secret}"


_NOBODY = User(name="", role=Role.VIEW, cost=_COST, salt=bytes(16), secret=bytes(32))
"""Whom a token is held against that names nobody, so that the time tells nothing."""


def made(name: str, role: Role) -> tuple[User, str]:
    """Return a new user and the token; raise RefusedError if the name is none that stands in history as it is."""
    if NAME.fullmatch(name) is None:
        raise RefusedError(
            f"{shown(name)!r} is no name of a user; write letters, digits and . _ @ + -, 64 at most"
        )
    if name.lower() in RESERVED:
        raise RefusedError(f"{name!r} stands for something else in the history; choose another name")
    token = f"{name}.{secrets.token_urlsafe(32)}"
    salt = secrets.token_bytes(16)
    return User(name=name, role=role, cost=_COST, salt=salt, secret=_hashed(token, salt, _COST)), token


def read(path: Path) -> dict[str, User]:
    """Return the users of the file by name; none if it is not there.

    Raises:
        RefusedError: It cannot be read, anybody may write to it, or a line of it is none of ours.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o002:
                raise RefusedError(f"{path}: anybody may write to it; chmod o-w {path}")
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            user = _parsed(line, f"{path}:{number}")
            users[user.name] = user
    return users


def write(path: Path, users: dict[str, User]) -> None:
    """Write the file anew, for its owner alone; it appears whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    text = "# The users of identifai-watch's page; identifai-watch web add-user writes it.\n"
    text += "".join(f"{user.line()}\n" for user in users.values())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                before = path.stat()
                os.fchmod(descriptor, before.st_mode & 0o770)
                if os.geteuid() == 0:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _parsed(line: str, where: str) -> User:
    try:
        name, role, kind, n, r, p, salt, secret = line.strip().split(":")
        cost = (int(n), int(r), int(p))
        user = User(
            name=name,
            role=Role(role),
            cost=cost,
            salt=base64.b64decode(salt, validate=True),
            secret=base64.b64decode(secret, validate=True),
        )
    except ValueError:
        kind, user, cost = "", _NOBODY, _COST
    if kind != "scrypt" or NAME.fullmatch(user.name) is None or cost[0] * cost[1] > _COST[0] * _COST[1] * 8:
        raise RefusedError(f"{where}: is no user; identifai-watch web add-user writes such a line")
    return user


def _hashed(token: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(
        token.encode("utf-8", "replace"), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r * p, dklen=32
    )


class Users:
    """The users of one file as it is now; for any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._turn = asyncio.Semaphore(1)
        self._mark: object = None
        self._users: dict[str, User] = {}
        self._known: dict[bytes, str] = {}

    def named(self, path: Path, name: str) -> User | None:
        """Return the user of that name."""
        return self._of(path).get(name)

    async def with_token(self, path: Path, token: str) -> User | None:
        """Return whose token this is; None if it is nobody's.

        One is looked at at a time: each takes memory and time, anybody may ask, and no thread is to wait for that.
        """
        async with self._turn:
            return await anyio.to_thread.run_sync(self._holder, path, token)

    def _holder(self, path: Path, token: str) -> User | None:
        users = self._of(path)
        mark = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        if mark in self._known:
            return users.get(self._known[mark])
        user = users.get(token.rpartition(".")[0])
        if not (user or _NOBODY).has(token) or user is None:
            return None
        if len(self._known) >= _KNOWN_TOKENS:
            self._known.clear()
        self._known[mark] = user.name
        return user

    def _of(self, path: Path) -> dict[str, User]:
        """Return the users of the file, read again if it is another than it was."""
        try:
            status = path.stat()
            mark: object = (path, status.st_mtime_ns, status.st_ino, status.st_size, status.st_ctime_ns)
        except OSError:
            mark = (path, None)
        with self._lock:
            if mark != self._mark:
                self._users, self._known = {}, {}
                self._users = read(path)
                self._mark = mark
            return self._users
