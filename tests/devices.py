"""A second file system, that a file cannot be renamed to."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - the other file system that every Linux has


@contextmanager
def other_device(home: Path) -> Iterator[Path]:
    """Give a directory on another file system than ``home``; skip the test where there is none."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == home.stat().st_dev:
        pytest.skip(f"{MEMORY} is no other file system")
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        yield Path(place)
