"""The operator's own command, run with what there is to tell in its environment and on its standard input."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from identifai_watch.notify.answer import TOLD, Answer

SECONDS = 60.0

LATER = 75
"""The exit status with which a command asks to be run again (EX_TEMPFAIL of sysexits.h)."""

SECRETS = ("IDENTIFAI_API_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
"""What of our environment is not for a command of somebody else's."""


def run(command: Sequence[str], path: str, told: Mapping[str, str], document: bytes) -> Answer:
    """Run a command with a path as its last word, ``told`` in its environment and ``document`` on its standard input.

    One that fails is not run again, for nobody knows what it did before; one that cannot be run, or asks for it, is.
    """
    around = {name: value for name, value in os.environ.items() if name not in SECRETS}
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own configuration names it
            [*command, path],
            env=around | dict(told),
            input=document,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, ValueError) as error:
        return Answer(trouble=f"{command[0]} cannot be run: {error}", again=isinstance(error, OSError))
    except subprocess.TimeoutExpired:
        return Answer(trouble=f"{command[0]} did not end within {SECONDS:.0f} s")
    if done.returncode == 0:
        return TOLD
    said = done.stderr[-300:].decode("utf-8", "replace")
    return Answer(
        trouble=f"{command[0]} ended with {done.returncode}: {said}", again=done.returncode == LATER
    )
