"""A terminal for tests: what a command shows on one that has so many columns, and whom it asks there."""

import os
import pty
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from threading import Thread

import pytest
from rich.cells import cell_len

from identifai_watch.cli import main
from tests.harness import KEY

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What moves a terminal's cursor or gives it a colour, which is no text."""


def on_terminal(columns: int, *words: str | Path, environ: dict[str, str] | None = None) -> str:
    """Type a command in this process on a terminal of so many columns, and return what came there."""
    ours, theirs = pty.openpty()
    heard: list[bytes] = []
    listens = Thread(target=_listen, args=(ours, heard))
    listens.start()
    with (
        pytest.MonkeyPatch.context() as patch,
        os.fdopen(theirs, "wb", buffering=0) as raw,
        TextIOWrapper(raw, encoding="utf-8", write_through=True) as out,
    ):
        patch.setattr(sys, "argv", ["identifai-watch", *map(str, words)])
        patch.setattr(sys, "stdout", out)
        for name, value in ({"TERM": "xterm-256color", "IDENTIFAI_API_KEY": KEY} | (environ or {})).items():
            patch.setenv(name, value)
        patch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            main()
        assert 0 == ended.value.code
    listens.join()
    os.close(ours)
    return b"".join(heard).decode().replace("\r\n", "\n")


def _listen(ours: int, heard: list[bytes]) -> None:
    try:
        while part := os.read(ours, 65536):
            heard.append(part)
    except OSError:  # a terminal whose other end is closed says so by an error
        return


def plain(text: str) -> str:
    """Return what is read of what came on a terminal."""
    return ESCAPES.sub("", text)


def widths(text: str) -> set[int]:
    """Return how many columns the lines take; a character of Chinese takes two."""
    return {cell_len(line) for line in plain(text).split("\n")}
