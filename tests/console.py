"""Typing a command in this process: what it prints and how it ends, without the second that a new one takes."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from identifai_watch.cli import main
from tests.harness import KEY, House


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What a command printed, and the exit status that it ended with."""

    status: int
    out: str
    err: str


def typed(*words: str | Path, environ: dict[str, str] | None = None) -> Typed:
    """Type a command, as a script would: nobody can be asked."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["identifai-watch", *(str(word) for word in words)])
        patch.setattr(sys, "stdin", io.StringIO())
        for name, value in ({"IDENTIFAI_API_KEY": KEY} | (environ or {})).items():
            patch.setenv(name, value)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return Typed(status=int(code), out=out.getvalue(), err=err.getvalue())


def at(house: House, *words: str | Path, environ: dict[str, str] | None = None) -> Typed:
    """Type a command with the configuration of a house."""
    return typed(*words, "--config", house.config_path, environ=environ)
