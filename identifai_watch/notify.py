"""Tell others of an outcome: the operator's own command, and a webhook. Each is told once, and nothing waits for it."""

import os
import subprocess
from collections.abc import Mapping, Sequence

import requests

from identifai_watch import __version__

COMMAND_SECONDS = 60.0
WEBHOOK_SECONDS = (10.0, 30.0)
"""To connect, and for the answer."""

SECRETS = ("IDENTIFAI_API_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
"""What of our environment is not for a command of somebody else's."""


def run(command: Sequence[str], path: str, told: Mapping[str, str]) -> str | None:
    """Run a command with the sidecar's path as its last word and ``told`` in its environment; say what went wrong."""
    around = {name: value for name, value in os.environ.items() if name not in SECRETS}
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own configuration names it
            [*command, path],
            env=around | dict(told),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError) as error:
        return f"{command[0]} cannot be run: {error}"
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {COMMAND_SECONDS:.0f} s"
    if done.returncode == 0:
        return None
    return f"{command[0]} ended with {done.returncode}: {done.stderr[-300:].decode('utf-8', 'replace')}"


def post(webhook: str, document: bytes) -> str | None:
    """Post a sidecar's document; say what went wrong. The address is never told, for it may hold a secret."""
    headers = {"Content-Type": "application/json", "User-Agent": f"identifai-watch/{__version__}"}
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(
                webhook, data=document, headers=headers, timeout=WEBHOOK_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            return f"the webhook cannot be reached ({type(error).__name__})"
    return None if answer.ok else f"the webhook answered {answer.status_code}"
