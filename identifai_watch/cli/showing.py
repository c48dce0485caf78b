"""``simulate``: the pretend identifAI in the foreground, for tests and trials."""

import json
import os
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from identifai_watch.errors import RefusedError
from identifai_watch.simulator import DOCUMENTED_LIMITS, Limits, Script, serve
from identifai_watch.simulator.script import changed


@click.command("simulate")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8450, show_default=True, help="0 takes a free one."
)
@click.option(
    "--delay", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Seconds a verdict takes."
)
@click.option(
    "--credits", "balance", type=click.FloatRange(min=0), help="Analyses to be had; endless if not given."
)
@click.option("--key", help="The only key that is taken; any if not given.")
@click.option("--no-limits", is_flag=True, help="No limits of requests; else those of a real account.")
@click.option(
    "--script",
    "script_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file with any other field of the script, as POST /simulator/script takes it.",
)
def simulate_command(
    *,
    port: int,
    delay: float,
    balance: float | None,
    key: str | None,
    no_limits: bool,
    script_path: Path | None,
) -> None:
    """Pretend to be identifAI on 127.0.0.1, until stopped.

    Nothing is judged: each verdict follows from the file's hash and says that it is simulated. What it does can be
    changed while it runs, by POST /simulator/script.
    """
    fields: dict[str, Any] = {"delay": delay, "credits": balance, "key": key}
    fields["limits"] = Limits() if no_limits else DOCUMENTED_LIMITS
    if script_path is not None:
        fields |= _read(script_path)
    try:
        script = changed(Script(), fields)
    except ValidationError as error:
        raise RefusedError(f"{script_path or 'the script'} is no script: {_mistakes(error)}") from error
    try:
        serve("127.0.0.1", port, script, announce=_announce)
    except OSError as error:
        raise RefusedError(f"port {port} cannot be had: {_reason(error)}; name another --port") from error


def _read(path: Path) -> dict[str, Any]:
    """Return the fields of a script's file; raise RefusedError if it holds none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {_reason(error)}") from error
    except ValueError as error:
        raise RefusedError(f"{path} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RefusedError(f"{path} is no script: it holds no object")
    return fields


def _mistakes(error: ValidationError) -> str:
    """Return what is wrong with a script on one line, each mistake with its dotted name."""
    return "; ".join(
        f"{'.'.join(str(key) for key in one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)
    )


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno is not None else str(error)


def _announce(url: str) -> None:
    click.echo(f"A pretend identifAI listens on {url}. Its verdicts are simulated. Stop it with Ctrl-C.")
    click.echo(f'In the configuration: [api] url = "{url}"')
