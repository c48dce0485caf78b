"""The command ``identifai-watch``: what each command is called, and how every one of them ends.

A command is imported when it is run, so that ``--help`` answers at once. What a person is told of an error is the
error's own text; its class says the exit status.
"""

import atexit
import gc
import importlib
import sys

import click

from identifai_watch import __version__
from identifai_watch.cli import examples
from identifai_watch.errors import ConfigError, Exit, WatchError

COMMANDS = {
    "init": ("setup", "Write a configuration, by asking or from flags."),
    "check": ("setup", "Check the configuration, the key, the account and the folders."),
    "config": ("configuring", "Show the configuration, and where each value is from."),
    "run": ("running", "Watch the folders until stopped."),
    "once": ("running", "Judge all that is there now, then end."),
    "status": ("reading", "Show how things stand, and what is waited for."),
    "list": ("reading", "List files with their verdicts, newest first."),
    "show": ("reading", "Show one file with its whole history."),
    "explain": ("reading", "Say why a file was or was not judged, and what it waits for."),
    "judge": ("judging", "Judge one file now, first in line, and print the verdict."),
    "rejudge": ("judging", "Have files judged anew; this is paid for again."),
    "backlog": ("acting", "Show what is held, and release it."),
    "pause": ("acting", "Send nothing more until resumed; verdicts still come in."),
    "resume": ("acting", "Send again."),
    "withdraw": ("acting", "Keep files from being sent that still wait for it."),
    "retry": ("acting", "Try again what is stuck or was refused."),
    "decide": ("acting", "Record the desk's own judgement of a file."),
    "costs": ("reckoning", "Show what was sent, what was saved, and how long the credits last."),
    "quality": ("reckoning", "Compare what the desk decided with what identifAI found."),
    "export": ("reading", "Write files and verdicts as CSV or JSON lines."),
    "web": ("serving", "Serve the page alone, and say who may use it."),
    "history": ("auditing", "List what was done, by whom, and verify that nothing of it was changed."),
    "notify": ("telling", "Try whom is told of verdicts and troubles, and list who still waits."),
    "bundle": ("bundling", "Bundle one file with all that is known of it, and verify such a bundle."),
    "ledger": ("keeping", "Check, back up, restore, move, rebuild or prune the ledger."),
    "simulate": ("showing", "Pretend to be identifAI, for tests and trials."),
    "demo": ("demo", "Show it all working, without a key and without a network."),
    "completion": ("completion", "Print the script that completes commands in a shell."),
}
"""Each command's module below this package, and its summary; the order is that of the help."""


class Commands(click.Group):
    """The group of all commands, each imported when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the module that holds a command, and return it with its examples."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"identifai_watch.cli.{COMMANDS[cmd_name][0]}")
        return examples.attach(cmd_name, getattr(module, f"{cmd_name}_command"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is typed; one that is misspelt is answered with what it may have been."""
        if args[0] not in COMMANDS:
            from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

            close = get_close_matches(args[0], COMMANDS, n=1)
            if close:
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {close[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="identifai-watch")
def cli() -> None:
    """Watch drop folders and have every new image, video and audio file judged by identifAI.

    Begin with `identifai-watch demo`, then `identifai-watch init`.
    """


def main() -> None:
    """Run the command line, and end with the exit status that the outcome has."""
    # Importing makes many objects and no garbage: looking for it in between took a fifth of a short command's time.
    gc.set_threshold(50_000, 20, 20)
    # At its end Python looks for it once more: what is frozen is left alone, and the system takes it all at once.
    atexit.register(gc.freeze)
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Abort as stopped:
        click.echo(" ".join(("\nStopped.", *stopped.args)), err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except ConfigError as error:
        which = "" if error.path is None else f" {error.path}"
        click.echo(f"The configuration{which} is wrong:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        sys.exit(error.exit)
    except WatchError as error:
        click.echo(f"identifai-watch: {error}", err=True)
        sys.exit(error.exit)
    except BrokenPipeError:
        # The reader went away, as `list | head` does. Python would complain about it once more at exit.
        sys.stderr.close()
        sys.exit(Exit.OK)
    sys.exit(status if isinstance(status, int) else Exit.OK)
