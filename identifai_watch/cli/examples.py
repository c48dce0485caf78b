"""Examples of every command: what ``--help`` and the manual show, and the tests type."""

import textwrap
from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "init": (
        ("answer four questions, and have the answers checked", "init"),
        ("ask nothing", "init --path /srv/drop --action move --config /srv/watch.toml"),
    ),
    "check": (
        ("what would keep a run from working, and what to do about it", "check"),
        ("for a script: is the file right?", "check --config-only --json"),
    ),
    "run": (
        ("in the foreground; Ctrl-C stops it, and nothing is lost", "run"),
        ("as the service does", "run --config /etc/identifai-watch/config.toml"),
    ),
    "once": (
        ("what it would send, cost and take", "once --dry-run"),
        ("judge what is there, for a job of the night", "once --give-up-minutes 30"),
    ),
    "status": (
        ("once", "status"),
        ("live, until Ctrl-C", "status --watch"),
        ("what a script wants to know", "status --json | jq .stuck"),
        ("for Prometheus, by node_exporter's textfile collector", "status --metrics"),
    ),
    "list": (
        ("the newest twenty that were judged artificial", "list --outcome artificial --limit 20"),
        ("what waits for a person", "list --stuck"),
        ("the paths of a folder's files", "list --folder drop --json | jq -r .path"),
    ),
    "show": (("verdict, decision, copies and history of a file", "show /srv/drop/a.jpg"),),
    "explain": (("why is there no verdict yet?", "explain /srv/drop/a.jpg"),),
    "judge": (
        ("now, and print the verdict", "judge /srv/drop/a.jpg"),
        ("what its sidecar says", "judge --json /srv/drop/a.jpg"),
    ),
    "rejudge": (("a second opinion, which is paid for", "rejudge /srv/drop/a.jpg --yes"),),
    "backlog": (("what is held since before the daemon", "backlog"),),
    "backlog release": (
        ("how many would go", "backlog release --newer-than 30d --dry-run"),
        ("the newest two hundred of a folder", "backlog release --folder drop --limit 200"),
    ),
    "pause": (
        ("everything, until resume", 'pause --why "the account is being moved"'),
        ("one folder for two hours", "pause --folder drop --for 2h"),
    ),
    "resume": (("everything", "resume"), ("one folder", "resume --folder drop")),
    "withdraw": (
        ("keep one file from being sent", "withdraw /srv/drop/a.jpg"),
        ("all that waits in a folder", "withdraw --folder drop --state queued"),
    ),
    "retry": (
        ("all that is stuck", "retry --stuck"),
        ("one file", "retry /srv/drop/a.jpg"),
        ("accept what is mounted at a folder's root now", "retry --folder drop"),
    ),
    "decide": (
        ("the desk knows better", 'decide /srv/drop/a.jpg human --reason "we have the raw file"'),
        ("it cannot be told", 'decide /srv/drop/a.jpg inconclusive --reason "no source"'),
    ),
    "costs": (("sent, saved and left in the last week", "costs --since 7d"),),
    "quality": (("the desk's decisions of a year against what was found", "quality --since 365d"),),
    "bundle": (
        (
            "all that is known of a file, for whoever does not believe it",
            "bundle /srv/drop/b.png -o case.zip",
        ),
        ("was anything of it changed?", "bundle verify case.zip"),
    ),
    "bundle make": (
        ("the same, of a file that has no verdict yet", "bundle make /srv/drop/a.jpg -o a.zip --partial"),
    ),
    "bundle verify": (("for a script", "bundle verify case.zip --json"),),
    "web": (("while the daemon is down; Ctrl-C stops it", "web"),),
    "web add-user": (("who may decide; the token is printed once", "web add-user ann --role edit"),),
    "web remove-user": (("out at once", "web remove-user ann"),),
    "web users": (("who may use the page", "web users"),),
    "notify": (("tell everybody one of each", "notify test"),),
    "notify test": (("what came of it, for a script", "notify test --json"),),
    "notify waiting": (("who is still to be told", "notify waiting"),),
    "export": (
        ("everything as CSV", "export -o verdicts.csv"),
        ("what was judged artificial, a line each", "export --format jsonl --outcome artificial"),
        ("the chained history, to be kept elsewhere", "export --history --format jsonl"),
    ),
    "history": (
        ("who did what in the last week", "history --since 7d"),
        ("the last twenty lines for a machine", "history --limit 20 --json"),
    ),
    "history verify": (("was any line of it changed?", "history verify"),),
    "history stamp": (("now, before a case goes to a lawyer", "history stamp"),),
    "history stamps": (("what was stamped, each stamp checked", "history stamps"),),
    "ledger": (("is it whole?", "ledger check"),),
    "ledger check": (("compare the indexes too", "ledger check --full"),),
    "ledger backup": (
        ("to a file that is not there yet", "ledger backup /mnt/nas/ledger.db"),
        ("a copy a day, fourteen of them kept", "ledger backup /mnt/nas --keep 14"),
    ),
    "ledger restore": (("while no daemon runs", "ledger restore /mnt/nas/ledger.db --yes"),),
    "ledger copy": (
        (
            "from a file to a server; cut, it goes on when typed again",
            "ledger copy ledger.db postgresql+psycopg://db/ledger",
        ),
        ("from a backup to a file that is not there yet", "ledger copy /mnt/nas/ledger.db moved.db"),
        ("are both the same?", "ledger copy --check /mnt/nas/ledger.db moved.db"),
    ),
    "ledger rebuild": (("what do the sidecars know?", "ledger rebuild --dry-run"),),
    "ledger prune": (("how much is older than a year?", "ledger prune --older-than 52w --dry-run"),),
    "simulate": (
        ("verdicts after three seconds, and a hundred credits", "simulate --delay 3 --credits 100"),
    ),
    "demo": (("a minute that shows it all", "demo"),),
    "config": (("what was written, and where", "config show"),),
    "config show": (
        ("every setting that holds, and where it is from", "config show --effective"),
        ("for a script", "config show --effective --json"),
    ),
    "completion": (
        ("complete in this shell, until it ends", "completion bash"),
        ("for every zsh to come, into a directory of its fpath", "completion zsh"),
    ),
}
"""By command, and by command and sub-command: what an example does, and what is typed behind the program's name."""

PROGRAM = "identifai-watch"


def of(name: str) -> list[tuple[str, str]]:
    """Return the examples of a command: what each does, and the line that is typed."""
    return [(says, f"{PROGRAM} {words}") for says, words in EXAMPLES.get(name, ())]


def attach(name: str, command: click.Command) -> click.Command:
    """Have the help of a command, and of those below it, end with its examples."""
    shown = "\n".join(f"# {says}\n{line}" for says, line in of(name))
    if shown:
        command.epilog = f"\b\nExamples:\n{textwrap.indent(shown, '  ')}"
    if isinstance(command, click.Group):
        for below, one in command.commands.items():
            attach(f"{name} {below}", one)
    return command
