"""``simulate``: the pretend identifAI in the foreground, for tests and trials."""

import json
from pathlib import Path
from typing import Any

import click

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
        fields |= json.loads(script_path.read_text(encoding="utf-8"))
    try:
        script = changed(Script(), fields)
        serve("127.0.0.1", port, script, announce=_announce)
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error


def _announce(url: str) -> None:
    click.echo(f"A pretend identifAI listens on {url}. Its verdicts are simulated. Stop it with Ctrl-C.")
    click.echo(f'In the configuration: [api] url = "{url}"')
