"""``completion``: the script that has a shell ask ``identifai_watch.completing`` for what may come next."""

import click
from click.shell_completion import BashComplete, get_completion_class

from identifai_watch.completing import VARIABLE

PROGRAM = "identifai-watch"


class Bash(BashComplete):
    """The script for bash: click's, but that a word with blanks or signs in it stays one word, as it was escaped."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local type value response

    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete "$1")

    while IFS=',' read -r type value; do
        if [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("$value")
        fi
    done <<< "$response"

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        """Return the script; which bash there is where it is made says nothing of where it is read."""
        return self.source_template % self.source_vars()


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, outcomes and folders' names in a shell.

    \b
    bash   identifai-watch completion bash >
               ~/.local/share/bash-completion/completions/identifai-watch
    zsh    identifai-watch completion zsh > "${fpath[1]}/_identifai-watch"
    fish   identifai-watch completion fish >
               ~/.config/fish/completions/identifai-watch.fish

    A new shell reads it from there. bash 4.4 and newer.
    """  # noqa: D301 - click's mark of lines that are not to be filled
    made = Bash if shell == "bash" else get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click knows no {shell}")
    click.echo(made(ctx.find_root().command, {}, PROGRAM, VARIABLE).source(), nl=False)
