"""Typing a command in this process: what it prints and how it ends, without the second that a new one takes."""

import contextlib
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from identifai_watch.cli import main
from tests.harness import KEY, House, wait_for

CTRL_C = "\x03"


_outside: list[TextIO] = []
"""What stdout was when a command was typed, while it runs."""


class Outside:
    """What stdout is, but for the command that is typed just now: whose stdout is its own."""

    def write(self, text: str) -> int:
        """Write there."""
        return (_outside[-1] if _outside else sys.stdout).write(text)

    def flush(self) -> None:
        """Flush what there is."""
        (_outside[-1] if _outside else sys.stdout).flush()


@contextlib.contextmanager
def _told_outside() -> Iterator[None]:
    """Have what others say meanwhile go where it would have gone."""
    _outside.append(sys.stdout)
    try:
        yield
    finally:
        _outside.pop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What a command printed, and the exit status that it ended with."""

    status: int
    out: str
    err: str


def typed(*words: str | Path, environ: dict[str, str] | None = None) -> Typed:
    """Type a command, as a script would: nobody can be asked."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["identifai-watch", *(str(word) for word in words)])
        patch.setattr(sys, "stdin", io.StringIO())
        for name, value in ({"IDENTIFAI_API_KEY": KEY} | (environ or {})).items():
            patch.setenv(name, value)
        with (
            _told_outside(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    code = ended.value.code
    assert isinstance(code, int)
    said, complained = (each.buffer.getvalue().decode() for each in (out, err))
    return Typed(status=int(code), out=said, err=complained)


def at(house: House, *words: str | Path, environ: dict[str, str] | None = None) -> Typed:
    """Type a command with the configuration of a house."""
    return typed(*words, "--config", house.config_path, environ=environ)


def status_of(house: House, folder: str, health: str, **more: str) -> dict[str, Any]:
    """Wait until ``status --json`` says that a folder's health is this, and return all that it says of it."""
    wanted = {"name": folder, "health": health} | more
    last: list[object] = []

    def look() -> dict[str, Any] | None:
        last[:] = json.loads(at(house, "status", "--json").out)["folders"]
        return next((one for one in last if isinstance(one, dict) and wanted.items() <= one.items()), None)

    try:
        return wait_for(look, f"{folder} is {health}") or {}
    except AssertionError as error:
        raise AssertionError(f"{error}; status says {last}") from error


def talk(words: list[str], answers: list[str], *, after: bytes = rb":\s*\Z") -> tuple[int, str]:
    """Run a command on a terminal, and answer each question, known by the pattern ``after``, as it comes."""
    ours, theirs = pty.openpty()
    # Its own terminal, that Ctrl-C comes from; and a background job may have been started with SIGINT ignored.
    alone = ["setsid", "--ctty", "env", "--default-signal=INT"]
    command = [*alone, sys.executable, "-m", "identifai_watch", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            for part in _heard(ours, answers):
                said += part
                if answers and re.search(after, said):
                    os.write(ours, answers.pop(0).encode())
        except OSError:  # a terminal whose other end is closed says so by an error
            pass
        finally:
            os.close(ours)  # hangs up whoever still waits for an answer
        return process.wait(20), said.decode()


def _heard(ours: int, answers: list[str]) -> Iterator[bytes]:
    """Give what comes on a terminal; Ctrl-C is pressed again in a silence, for it may come between two looks at it."""
    ends_it = answers[-1:] == [CTRL_C]
    for _ in range(20):
        while select.select([ours], [], [], 2)[0]:
            part = os.read(ours, 65536)
            if not part:
                return
            yield part
        if ends_it and not answers:
            os.write(ours, CTRL_C.encode())
