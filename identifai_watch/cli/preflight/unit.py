"""The service: is its unit installed where systemd looks for it?"""

import os
import pwd
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from identifai_watch.cli.preflight.finding import Finding, Level, ok, warning

NAME = "identifai-watch.service"
SYSTEM = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
"""Where systemd looks for a system's units, first come first (systemd.unit(5))."""

SERVICES = Path("/etc")


def places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where units lie: the system's, then the user's own."""
    home = environ.get("HOME", "")
    own = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    return (*SYSTEM, *((Path(own, "systemd", "user"),) if own else ()))


def is_for_a_service(config_path: Path) -> bool:
    """Tell whether a configuration is one that a service runs with."""
    return config_path.resolve().is_relative_to(SERVICES)


def start(found: Iterable[Finding]) -> tuple[str, str]:
    """Return what is to be said, and typed, to have the service run, from what was found of its unit."""
    for finding in found:
        if finding.about == "unit" and finding.level is Level.WARNING and finding.remedy is not None:
            return "All is well but for the service's unit. Next, in the sources:", finding.remedy
        if finding.about == "unit" and "/systemd/user/" in finding.said:
            return "All is well. Next:", f"systemctl --user enable --now {NAME.removesuffix('.service')}"
    return "All is well. Next:", f"systemctl enable --now {NAME.removesuffix('.service')}"


def findings(
    config_path: Path, *, looked_at: tuple[Path, ...] | None = None, services: Path = SERVICES
) -> Iterator[Finding]:
    """Say where the unit is; that there is none is only odd where the configuration is a service's."""
    for place in places(os.environ) if looked_at is None else looked_at:
        if (place / NAME).is_file():
            yield ok("unit", f"{place / NAME}{_as_whom(place / NAME)}")
            return
    if config_path.resolve().is_relative_to(services):
        yield warning(
            "unit",
            f"{config_path} is a service's configuration, and {NAME} is not installed",
            f"install -m 0644 systemd/{NAME} /etc/systemd/system/ && systemctl enable --now {NAME}",
        )


def _as_whom(path: Path) -> str:
    """Say that the service is another user than we are: what this one may do says nothing of that one."""
    with suppress(OSError, KeyError):
        named = re.search(r"^User=(\S+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if named is not None and pwd.getpwnam(named[1]).pw_uid != os.geteuid():
            check = f"runuser -u {named[1]} -- identifai-watch check"
            return f"; it runs as {named[1]}, which this check did not: {check} says what that user may do"
    return ""
