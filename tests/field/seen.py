"""What an operator sees of a running daemon, by the program's own commands and its log."""

import json
from typing import Any

from tests.harness import House


def status(home: House) -> dict[str, Any]:
    """Return what ``status --json`` says."""
    done = home.command("status", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def folder(home: House, name: str = "drop") -> dict[str, Any]:
    """Return what ``status`` says of one folder."""
    return next((one for one in status(home)["folders"] if one["name"] == name), {})


def said(home: House, event: str) -> list[dict[str, Any]]:
    """Return the lines of the log with this event."""
    return [line for line in home.logged() if line["event"] == event]
