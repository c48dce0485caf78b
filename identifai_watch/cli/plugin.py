"""``status --check``: a plugin of Nagios and its kin, which says one line and ends with 0, 1, 2 or 3, whatever happens."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from identifai_watch.core.report import Report
from identifai_watch.errors import ConfigError, WatchError

if TYPE_CHECKING:
    from identifai_watch.core.plugin import Check

OPTION = "--check"


class Plugin(click.Command):
    """A command that is a plugin when it is given ``--check``.

    Its own exit statuses would be misread then: 1 is a warning there, and 2 is critical. So whatever keeps it from
    telling how things stand is said as UNKNOWN.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the command line; with ``--check`` one that is wrong is UNKNOWN."""
        is_plugin = OPTION in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if is_plugin:
                raise click.exceptions.Exit(_give_up(error.format_message())) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run; with ``--check`` anything that goes wrong is UNKNOWN."""
        if not ctx.params["is_check"]:
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            why = error.format_message()
        except ConfigError as error:
            why = f"the configuration is wrong: {'; '.join(error.problems)}"
        except WatchError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a traceback ends with 1, which would be no more than a warning
            why = f"a bug: {error!r}"
        return _give_up(why)


def say(report: Report, now: datetime) -> int:
    """Say in one line how bad things are, and return the exit status."""
    from identifai_watch.core.plugin import check  # noqa: PLC0415 - its words are for this alone

    return _print(check(report, now))


def _give_up(why: str) -> int:
    from identifai_watch.core.plugin import unknown  # noqa: PLC0415 - likewise

    return _print(unknown(why))


def _print(check: "Check") -> int:
    click.echo(check.line())
    return check.level
