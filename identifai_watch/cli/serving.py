"""``web``: the page alone, on the ledger as it is; and the file of those who may use it."""

import json
import os
import sys
from contextlib import closing, suppress
from pathlib import Path

import click

from identifai_watch import config as configuration
from identifai_watch import logs
from identifai_watch.cli.gathering import opened_to_read
from identifai_watch.cli.opening import config_option, json_option, load
from identifai_watch.config import Config
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import shown


@click.group("web", invoke_without_command=True)
@config_option
@click.pass_context
def web_command(ctx: click.Context, config_path: Path | None) -> None:
    """Serve the page until stopped, with or without a daemon.

    A daemon serves it too, at [web] listen: this is for when it is down. Each subcommand says who may use the page.
    """
    ctx.obj = config_path
    if ctx.invoked_subcommand is not None:
        return
    from identifai_watch.previews import Previews  # noqa: PLC0415 - what serves it is for this alone
    from identifai_watch.web import Page, Server  # noqa: PLC0415 - likewise

    config = load(config_path)
    address = config.web.address
    if address is None:
        raise RefusedError('web.listen is "", which means no page; write an address like 127.0.0.1:8451')
    logs.configure(terminal=sys.stderr.isatty(), redaction=logs.Redaction())
    with opened_to_read(config) as ledger:
        if ledger is None:
            raise RefusedError(
                f"there is no ledger yet at {shown(config.ledger.url)}; identifai-watch run makes it"
            )
        previews = Previews(configuration.default_cache(os.environ), config.web.previews_megabytes)
        with closing(previews), suppress(KeyboardInterrupt):
            try:
                server = Server(Page(config=lambda: config, ledger=ledger, previews=previews), address)
            except RefusedError as error:
                if ledger.lock.is_taken():
                    raise RefusedError(f"a daemon runs, and serves the page already: {error}") from error
                raise
            click.echo(f"The page is at {config.web.public_url or server.url}. Ctrl-C ends it.", err=True)
            server.serve()


@web_command.command("add-user")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["view", "edit"]), required=True, help="Who only looks, or also decides."
)
@config_option
@json_option
@click.pass_context
def add_user_command(
    ctx: click.Context,
    name: str,
    role: str,
    config_path: Path | None,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Let somebody use the page, or give a new token to who may already; it is printed once.

    The token logs a person in, and is sent by a machine as Authorization: Bearer TOKEN.
    """
    from identifai_watch.web import users  # noqa: PLC0415 - what hashes is for this alone

    path = _users_file(load(config_path or ctx.obj))
    known = users.read(path)
    is_new = name not in known
    user, token = users.made(name, users.Role(role))
    users.write(path, known | {name: user})
    if as_json:
        click.echo(json.dumps({"name": name, "role": role, "token": token, "new": is_new}))
        return
    click.echo(
        f"{name} may {'look' if role == 'view' else 'look and decide'}; the token, which is not kept:",
        err=True,
    )
    click.echo(token)


@web_command.command("remove-user")
@click.argument("name")
@config_option
@click.pass_context
def remove_user_command(ctx: click.Context, name: str, config_path: Path | None) -> None:
    """Keep somebody from the page, at once."""
    from identifai_watch.web import users  # noqa: PLC0415 - likewise

    path = _users_file(load(config_path or ctx.obj))
    known = users.read(path)
    if name not in known:
        raise RefusedError(f"{path}: there is no user {name}; known are {', '.join(known) or 'none'}")
    users.write(path, {other: user for other, user in known.items() if other != name})
    click.echo(f"{name} may not use the page any more.")


@web_command.command("users")
@config_option
@json_option
@click.pass_context
def users_command(ctx: click.Context, config_path: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """List who may use the page."""
    from identifai_watch.web import users  # noqa: PLC0415 - likewise

    known = users.read(_users_file(load(config_path or ctx.obj)))
    if as_json:
        click.echo(json.dumps([{"name": user.name, "role": user.role} for user in known.values()]))
        return
    for user in known.values():
        click.echo(f"{user.name}  {user.role}")
    if not known:
        click.echo("Nobody yet. identifai-watch web add-user NAME --role edit lets somebody in.")


def _users_file(config: Config) -> Path:
    if config.web.users_file is None:
        raise RefusedError(
            "web.users_file names no file; name one there, like /var/lib/identifai-watch/users, that the service can read"
        )
    return config.web.users_file
