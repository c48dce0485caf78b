"""A video of 5 GB through the real daemon: its memory, its speed, and what small pictures notice of it."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import requests

from benchmarks.figures import Figure, Goal
from benchmarks.running import KEY, Place, Pretended, cached, let_go, pretended, share, wait_until
from identifai_watch.core.model import Media
from identifai_watch.ledger import Ledger, desk, views

MB = 1_000_000
SAMPLES = Path(__file__).parent.parent / "tests" / "media"
BLOCK = 1024 * 1024
PATIENCE = 600.0


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield what the video takes, and the pictures' latency beside it, beside another sender, and alone."""
    size, bare, alone = (300 * MB, 60 * MB, 2) if small else (5_000 * MB, 1_000 * MB, 25)
    with tempfile.TemporaryDirectory() as home, pretended() as api:
        place = Place(home=Path(home), url=api.url)
        video = _video(place, size)
        with place.daemon() as daemon:
            wait_until(lambda: _is_scanned(place), "the first scan")
            idle, theirs = daemon.resident, api.process.resident
            daemon.forget_peak()
            pictures = itertools.count()
            without = [_latency(place, next(pictures)) for _ in range(alone)]
            with _sending(api, video, bare) as sender:
                busy = list(_while(place, pictures, lambda: sender.poll() is not None))
                speed = bare / float(sender.communicate()[0])
            let_go(video)
            target = video.rename(place.drop / video.name)
            beside = list(_while(place, pictures, _sidecar(target).exists))
            daemon.must_run()
            peak, left = daemon.peak, cached(target)
        _check(api, size, next(pictures))
        yield from _taken(size, peak - idle, left, size / _upload_seconds(place, size), speed)
        yield Figure(
            what="the pretend identifAI above idle: it keeps nothing of it",
            value=(api.process.peak - theirs) / MB,
            unit="MB",
        )
    yield from _noticed(without, busy, beside)


def _is_scanned(place: Place) -> bool:
    with Ledger(place.ledger_url, node=os.uname().nodename) as ledger, ledger.read() as tx:
        _, news = desk.node_report(tx, ledger.node) or (None, {"folders": []})
    return any(folder["last_scan_at"] is not None for folder in news["folders"])


def _check(api: Pretended, size: int, pictures: int) -> None:
    """Raise if anything was lost, or paid twice: each picture and the two videos were sent once."""
    state = api.state()
    paid = sorted(one["size"] for one in state["charged"])
    if not len(paid) == state["requests"]["upload"] == pictures + 2 or paid[-1] != size:
        raise click.ClickException(
            f"{len(paid)} paid for {pictures} pictures and 2 videos, at most {paid[-1]} bytes"
        )


def _taken(size: int, memory: int, left: int, speed: float, bare: float) -> Iterator[Figure]:
    """Yield what the video takes of the machine."""
    yield Figure(
        what=f"memory above idle, from settling to delivery of {size // MB:,} MB",
        value=memory / MB,
        unit="MB",
        goal=Goal(most=32),
    )
    yield Figure(what="in the page cache once it is delivered", value=left / MB, unit="MB", goal=Goal(most=1))
    yield Figure(
        what="upload, hashed on the way",
        value=speed / MB,
        unit="MB/s",
        against="MB/s of a bare requests stream",
        yardstick=bare / MB,
    )


def _noticed(without: list[float], busy: list[float], beside: list[float]) -> Iterator[Figure]:
    """Yield what small pictures notice, beside a machine that is as busy with another process that sends a video."""
    for name, part in (("median", 0.5), ("95 %", 0.95)):
        yield Figure(
            what=f"picture: rename to POST while the video is hashed and sent ({name})",
            value=share(beside, part) * 1000,
            unit="ms",
            against="ms while another process sends one",
            yardstick=share(busy, part) * 1000,
            goal=Goal(most=1.25),
        )
        yield Figure(
            what=f"likewise, with nothing beside it ({name})", value=share(without, part) * 1000, unit="ms"
        )


def _video(place: Place, size: int) -> Path:
    """Make a sparse video of ``size`` bytes beside the folder."""
    made = place.home / "video.mp4"
    made.write_bytes((SAMPLES / "sample.mp4").read_bytes())
    os.truncate(made, size)
    return made


def _while(place: Place, pictures: Iterator[int], is_over: Callable[[], bool]) -> Iterator[float]:
    """Yield the latencies of pictures that come one after another until ``is_over``."""
    began = time.monotonic()
    while not is_over():
        if time.monotonic() - began > PATIENCE:
            raise click.ClickException(f"the video is not delivered within {PATIENCE:.0f} s")
        yield _latency(place, next(pictures))


def _latency(place: Place, number: int) -> float:
    """Rename a picture in, which makes it whole, wait for its verdict, and return the seconds from there to its POST."""
    made = place.home / f"{number}.png"
    made.write_bytes((SAMPLES / "sample.png").read_bytes() + b"%d" % number)
    target = place.drop / made.name
    began = datetime.now(UTC)
    made.rename(target)
    wait_until(_sidecar(target).exists, f"{target.name} is delivered")
    with Ledger(place.ledger_url, node=os.uname().nodename) as ledger, ledger.read() as tx:
        # The video's own POST may be among them: the later one counts.
        left_at = max(at for at, _ in views.posts(tx, began))
    return (left_at - began).total_seconds()


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".identifai.json")


def _upload_seconds(place: Place, size: int) -> float:
    """Return how long the video was under way, from its POST to the answer."""
    with Ledger(place.ledger_url, node=os.uname().nodename) as ledger, ledger.read() as tx:
        line = next(one for one in views.lines(tx) if one.file.fingerprint.size == size)
        happened = {one.event: one.at for one in views.history_of(tx, line.file)}
    return (happened["uploaded"] - happened["begun"]).total_seconds()


class _Form:
    """A form of known length that is read from a file while it is sent, and not hashed."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        disposition = f'Content-Disposition: form-data; name="{Media.VIDEO}"; filename="video.mp4"'
        self._head = f"--bare\r\n{disposition}\r\nContent-Type: video/mp4\r\n\r\n".encode()
        self._tail = b"\r\n--bare--\r\n"

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        left = self._size
        with self._path.open("rb", buffering=0) as opened:
            while left:
                block = opened.read(min(left, BLOCK))
                left -= len(block)
                yield block
        yield self._tail


@contextmanager
def _sending(api: Pretended, video: Path, size: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Have another process stream the begin of the video by requests alone."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.big",
        f"{api.url}/api/classification_video",
        str(video),
        str(size),
    ]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield sender
        if sender.wait() != 0:
            raise click.ClickException("the bare stream failed")
    finally:
        sender.kill()
        sender.wait()


if __name__ == "__main__":
    begun = time.monotonic()
    requests.post(
        sys.argv[1],
        data=_Form(Path(sys.argv[2]), int(sys.argv[3])),
        headers={"X-Api-Key": KEY, "Content-Type": "multipart/form-data; boundary=bare"},
        timeout=PATIENCE,
    ).raise_for_status()
    sys.stdout.write(f"{time.monotonic() - begun}\n")
