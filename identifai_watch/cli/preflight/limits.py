"""inotify's limits against what is to be watched, with the line that raises each."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from identifai_watch.cli.preflight.finding import Finding, ok, warning

ABOUT = "inotify"
KEPT = "write the same into /etc/sysctl.d/60-identifai-watch.conf, so that it stays"
LEAST_QUEUE = 16_384
"""The kernel's own default; events beyond it are lost, and cost a scan."""

_WHERE = Path("/proc/sys/fs/inotify")


def read() -> dict[str, int] | None:
    """Read the limits; None where they are hidden, as by the unit's ProcSubset=pid."""
    try:
        return {
            name: int((_WHERE / name).read_text(encoding="ascii"))
            for name in ("max_user_watches", "max_user_instances", "max_queued_events")
        }
    except (OSError, ValueError):
        return None


def findings(limits: Mapping[str, int] | None, *, folders: int, directories: int) -> Iterator[Finding]:
    """Hold the limits against the folders that are watched by events and the directories that lie in them.

    Watches and instances are shared with every other program of the user: there must be room for twice as many.
    """
    if folders == 0:
        return
    if limits is None:
        yield warning(ABOUT, "its limits cannot be read", "Set ProcSubset=all where this runs.")
        return
    needs = {
        "max_user_watches": (2 * directories, f"{directories:,} directories are to be watched"),
        "max_user_instances": (2 * folders, f"{folders:,} folders are watched by events"),
        "max_queued_events": (LEAST_QUEUE, "a burst of files would overflow it and be found by a scan alone"),
    }
    short = [name for name, (need, _) in needs.items() if limits[name] < need]
    for name in short:
        need, why = needs[name]
        yield warning(
            ABOUT,
            f"{why}, and {name} is {limits[name]:,}: what does not fit is found by scanning alone",
            f"sysctl -w fs.inotify.{name}={max(1 << (need - 1).bit_length(), 1024)}   ({KEPT})",
        )
    if not short:
        watches = limits["max_user_watches"]
        yield ok(ABOUT, f"{directories:,} directories are to be watched, of {watches:,} watches")
