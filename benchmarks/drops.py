"""Dropping pictures into a folder at full speed, in a process of its own, as whoever drops files is one."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PICTURE = (Path(__file__).parent.parent / "tests" / "media" / "sample.png").read_bytes()

Step = Callable[[int, Path, Path], None]
"""What is done with one file, by its number, in the folder, and in a directory beside it that nobody watches."""


def picture(number: int) -> bytes:
    """Return a small picture that is told from every other: what follows its end is nothing to its format."""
    return PICTURE + f"{number:08}".encode()


def _name(number: int) -> str:
    return f"{number:06}.png"


def _nothing(_number: int, _folder: Path, _aside: Path) -> None:
    """Prepare nothing."""


def _create(number: int, folder: Path, _aside: Path) -> None:
    (folder / _name(number)).write_bytes(picture(number))


def _create_aside(number: int, _folder: Path, aside: Path) -> None:
    (aside / _name(number)).write_bytes(picture(number))


def _rename_in(number: int, folder: Path, aside: Path) -> None:
    (aside / _name(number)).rename(folder / _name(number))


def _rename_in_place(number: int, folder: Path, _aside: Path) -> None:
    part = folder / f"{_name(number)}.part"
    part.write_bytes(picture(number))
    part.rename(folder / _name(number))


WAYS: dict[str, tuple[Step, Step]] = {
    "created": (_nothing, _create),
    "renamed in": (_create_aside, _rename_in),
    ".part, then renamed": (_nothing, _rename_in_place),
}
"""What is done with each file before, and then at full speed."""


@contextmanager
def ready_to_drop(way: str, count: int, folder: Path, aside: Path) -> Iterator[Callable[[], float]]:
    """Give a function that has the files dropped, and returns how many seconds that took."""
    command = [sys.executable, "-m", "benchmarks.drops", way, str(count), str(folder), str(aside)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        if popen.stdin is None or popen.stdout is None:
            raise LookupError("pipes")
        given, said = popen.stdin, popen.stdout

        def drop() -> float:
            given.write("go\n")
            given.flush()
            return float(said.readline())

        said.readline()
        yield drop


def _main(way: str, count: int, folder: Path, aside: Path) -> None:
    before, step = WAYS[way]
    for number in range(count):
        before(number, folder, aside)
    print("ready", flush=True)  # noqa: T201 - that is what it says
    sys.stdin.readline()
    began = time.monotonic()
    for number in range(count):
        step(number, folder, aside)
    print(time.monotonic() - began, flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
