"""What operators ask for, carried out on the ledger: by the daemon, or by whoever gives the order when none runs.

An order is one row, and names rows by their numbers, since a path may have stood for several files. Each returns what
came of it, for the command or the page to say. ``judge`` needs a running daemon and is left to it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from identifai_watch.config import Config
from identifai_watch.core import gate
from identifai_watch.core.events import Barred, Overridden, Reopened, Resumed, Retried
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    Choice,
    Decision,
    File,
    FileState,
    Label,
    PauseReason,
)
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import (
    Ledger,
    Transaction,
    archive,
    budget,
    desk,
    editions,
    history,
    holds,
    intake,
    reading,
    withdrawals,
    work,
)
from identifai_watch.ledger.desk import Command
from identifai_watch.ledger.step import Step
from identifai_watch.shift import Shift

Answer = dict[str, Any]

PATIENCE_SECONDS = 5.0
"""How long a daemon is given to carry an order out before whoever gave it hears that it is queued."""

LOOK_SECONDS = 0.05


def give(
    config: Config,
    ledger: Ledger,
    verb: str,
    arguments: dict[str, Any],
    *,
    who: str,
    node: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Answer | None:
    """Give an order in the name of ``who`` and return what came of it; None if the daemon has not come to it yet.

    A daemon that is alive carries it out; without one that is done here, in the same transaction. It is this host's, or
    that of ``node`` for what only who sees its disk can do.

    Raises:
        RefusedError: It cannot be carried out.
    """
    shift = Shift(config=config, ledger=ledger, clock=ledger.clock)
    is_elsewhere = node is not None and node != ledger.node and ledger.member != ""
    is_daemons = not is_elsewhere and ledger.lock.is_taken()
    with ledger.write() as tx:
        now = shift.clock()
        whose = node if is_elsewhere and node is not None else ledger.member
        is_daemons = is_daemons or (is_elsewhere and whose in ledger.alive(tx, [whose]))
        number = desk.ask(tx, verb, arguments, node=whose, who=who, now=now)
        if not is_daemons:
            answer = _carry_out_here(tx, shift, desk.command(tx, number))
            desk.answered(tx, number, answer, now)
    return answered(ledger, number, patience if is_daemons else 0.0)


def answered(ledger: Ledger, number: int, seconds: float) -> Answer | None:
    """Wait for what came of an order; return None if that is not known within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        with ledger.read() as tx:
            answer = desk.command(tx, number).answer
        if answer is not None:
            if "error" in answer:
                raise RefusedError(str(answer["error"]))
            return answer
        if time.monotonic() >= deadline:
            return None
        time.sleep(LOOK_SECONDS)  # another thread or process writes it, and tells nobody


def _carry_out_here(tx: Transaction, shift: Shift, command: Command) -> Answer:
    """Carry an order out without a daemon; what a daemon would do at its next start is written down for it."""
    if command.verb == "reach":
        name = str(command.arguments["folder"])
        folder, host = shift.config.folder_named(name), shift.ledger.node
        own = host if folder is None else folder.node_of(host)
        node = str(command.arguments.get("node", own))
        intake.pin(tx, intake.folder(tx, node, name).id, None, node or host)
        return {"folder": name}
    return carry_out(tx, command, shift.step())


def carry_out(tx: Transaction, command: Command, step: Step) -> Answer:
    """Carry one command out and return what came of it; an unknown verb is answered, not raised."""
    order = ORDERS.get(command.verb)
    if order is None:
        return {"error": f"{command.verb} is not known to this version"}
    return order(tx, command.arguments, replace(step, who=command.who))


def _pause(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Send nothing more, or nothing more of one folder, until ``resume`` or then; verdicts still come in."""
    why = str(arguments.get("why") or "by hand")
    said = arguments.get("until")
    until = None if said is None else datetime.fromisoformat(said)
    name = arguments.get("folder")
    if name is not None:
        holds.pause(tx, _folder_id(tx, arguments), at=step.now, until=until, by=step.who, why=why)
        history.record(tx, step, "paused", folder=name, why=why, until=said, **_host(arguments))
        return {"state": AccountState.PAUSED, "folder": name}
    _, after = budget.advance_account(
        tx, Barred(PauseReason.OPERATOR, why, until=until), step.now, step.chance
    )
    history.record(tx, step, "paused", why=why, until=said)
    return {"state": after.state}


def _resume(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Send again; a pause that the account itself is in is probed at once."""
    name = arguments.get("folder")
    if name is not None:
        was_paused = holds.resume(tx, _folder_id(tx, arguments))
        if was_paused:
            history.record(tx, step, "resumed", folder=name, **_host(arguments))
        return {"folder": name, "was_paused": was_paused}
    _, after = budget.advance_account(tx, Resumed(), step.now, step.chance)
    history.record(tx, step, "resumed")
    paused = [pause.folder for pause in holds.pauses(tx)]
    return {"state": after.state, "reason": after.reason, "folders_paused": paused}


def end_pauses(tx: Transaction, step: Step) -> list[str]:
    """End the pauses whose time is over; return what is sent again, in words."""
    ended: list[str] = []
    # Asked once more with its row locked: another host may have ended it, and somebody paused anew since.
    if gate.is_over(budget.account(tx), step.now) and gate.is_over(budget.locked_account(tx), step.now):
        budget.advance_account(tx, Resumed(), step.now, step.chance)
        history.record(tx, step, "resumed", why="its time is over")
        ended.append("the account")
    for pause in holds.pauses(tx):
        is_over = pause.until is not None and pause.until <= step.now
        if is_over and holds.resume(tx, pause.folder_id, over_at=step.now):
            history.record(tx, step, "resumed", folder=pause.folder, why="its time is over")
            ended.append(f"folder {pause.folder}")
    return ended


def _withdraw(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Keep files from being sent; what was sent already goes its way."""
    reason = f"withdrawn by {step.who}: {arguments.get('why') or 'by hand'}"
    chosen = (
        withdrawals.queued(tx, _folder_id(tx, arguments)) if "folder" in arguments else _files(tx, arguments)
    )
    withdrawn = sum(withdrawals.withdraw(tx, file, reason, step) for file in chosen)
    return {"withdrawn": withdrawn, "kept": len(chosen) - withdrawn}


def _host(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return on which host a folder is, for the history; nothing in a ledger of one host."""
    return {"node": str(arguments["host"])} if arguments.get("host") else {}


def _folder_id(tx: Transaction, arguments: Mapping[str, Any]) -> int:
    return intake.folder(tx, str(arguments["node"]), str(arguments["folder"])).id


def _retry(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Try again what is stuck or was refused; what stands elsewhere goes on there, and nothing is paid again."""
    retried = 0
    for file in _files(tx, arguments):
        analysis = None if file.analysis_id is None else reading.analysis(tx, file.analysis_id)
        if file.state is FileState.SUPERSEDED:
            retried += withdrawals.take_back(tx, file, step)
            continue
        if not _can_be_retried(file, analysis):
            continue
        if analysis is not None:
            work.advance(tx, analysis.id, Retried(), step)
        work.advance_file(tx, file.id, Retried(), step)
        retried += 1
    account = look_now(tx, step.now, step.chance)
    return {"retried": retried, "account": account.state}


def look_now(tx: Transaction, now: datetime, chance: float) -> Account:
    """Have a paused account probed now, and return it: something may have changed. The operator's pause stays."""
    account = budget.locked_account(tx)
    if account.reason is PauseReason.OPERATOR:
        return account
    return budget.advance_account(tx, Resumed(), now, chance)[1]


def _can_be_retried(file: File, analysis: Analysis | None) -> bool:
    """Tell whether another attempt can bring something: a verdict that is delivered needs none."""
    if file.stuck_at is not None:
        return True
    return analysis is not None and (analysis.verdict is None or analysis.stuck_at is not None)


def _decide(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Write the desk's judgement of a file down, and have it delivered accordingly."""
    choice = Choice(arguments["choice"])
    decision = Decision(choice=choice, reason=str(arguments["reason"]), by=step.who, at=step.now)
    decided = 0
    for file in _files(tx, arguments):
        if file.state in {FileState.WAITING, FileState.DELIVERED}:
            work.put_decision(tx, file.id, decision)
            analysis = None if file.analysis_id is None else reading.analysis(tx, file.analysis_id)
            history.record(
                tx, step, "decided", file=file, analysis=analysis, choice=choice, reason=decision.reason
            )
            work.advance_file(tx, file.id, Reopened(), step)
            decided += 1
    return {"decided": decided}


def _overridden(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Take in that the vendor was told, and now forces a label for these bytes."""
    label = Label(arguments["label"])
    for file in _files(tx, arguments):
        for analysis in [] if file.sha256 is None else reading.analyses_of(tx, file.sha256):
            if analysis.verdict is not None:
                work.advance(tx, analysis.id, Overridden(label), step)
    return {"forced": label}


def _release(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Release held files, the newest first."""
    newer = arguments.get("newer_than")
    folder_id = None if arguments.get("folder") is None else _folder_id(tx, arguments)
    released = archive.release(
        tx,
        step,
        folder_id=folder_id,
        folder_ids=arguments.get("folder_ids"),
        newer_than=None if newer is None else datetime.fromisoformat(newer),
        limit=arguments.get("limit"),
    )
    return {"released": released}


def _rejudge(tx: Transaction, arguments: Mapping[str, Any], step: Step) -> Answer:
    """Have contents judged anew and paid again; the earlier analysis is kept."""
    again = 0
    for file in _files(tx, arguments):
        if file.analysis_id is not None and file.state in {FileState.WAITING, FileState.DELIVERED}:
            again += editions.new_edition(tx, file, step) is not None
    return {"rejudged": again}


ORDERS: Mapping[str, Callable[[Transaction, Mapping[str, Any], Step], Answer]] = {
    "pause": _pause,
    "resume": _resume,
    "withdraw": _withdraw,
    "retry": _retry,
    "decide": _decide,
    "overridden": _overridden,
    "release": _release,
    "rejudge": _rejudge,
}


def _files(tx: Transaction, arguments: Mapping[str, Any]) -> list[File]:
    """Return the files that an order names, or all that wait for a person if it says so."""
    if arguments.get("stuck"):
        return reading.stuck_files(tx)
    return [file for number in arguments.get("files", []) if (file := reading.file(tx, number)) is not None]
