"""What we tell systemd, one datagram each: ready, what we are at, alive, reloading, stopping (sd_notify(3)).

Outside of systemd nothing is sent, and nothing fails: a service must not stop because its status was not heard.
"""

import os
import socket
import time
from collections.abc import Mapping
from datetime import timedelta

SEND_SECONDS = 1.0
"""How long a full socket may hold the caller."""


def notify(*states: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send assignments such as ``READY=1`` in one datagram, and return whether somebody took it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # An address with @ is abstract: its first byte is NUL.
    target = f"\0{address[1:]}" if address.startswith("@") else address
    message = "\n".join(states).encode("utf-8", "backslashreplace")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(SEND_SECONDS)
            channel.sendto(message, target)
    except OSError:
        return False
    return True


def ready(text: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Say that the start, or a reload, is over, and what we are at."""
    return notify("READY=1", f"STATUS={_one_line(text)}", environ=environ)


def status(text: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Say what we are at, for ``systemctl status``."""
    return notify(f"STATUS={_one_line(text)}", environ=environ)


def reloading(*, environ: Mapping[str, str] = os.environ) -> bool:
    """Say that a reload begins; ``ready`` ends it."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", environ=environ)


def stopping(*, environ: Mapping[str, str] = os.environ) -> bool:
    """Say that the service is about to end."""
    return notify("STOPPING=1", environ=environ)


def watchdog(*, environ: Mapping[str, str] = os.environ) -> bool:
    """Say that we are alive."""
    return notify("WATCHDOG=1", environ=environ)


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> timedelta | None:
    """Return how often ``watchdog`` is to be called: half of what systemd allows; None when it does not ask."""
    allowed, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (allowed.isascii() and allowed.isdigit()) or int(allowed) == 0:
        return None
    if pid not in {"", str(os.getpid())}:
        return None
    return timedelta(microseconds=int(allowed)) / 2


def _one_line(text: str) -> str:
    return " ".join(text.split())
