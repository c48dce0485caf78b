"""What a benchmark prints: figures, each beside the yardstick that was measured in the same run, and the machine."""

import os
import platform
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is to be reached: of the ratio to the yardstick where there is one, else of the figure."""

    least: float | None = None
    most: float | None = None

    def is_reached(self, value: float) -> bool:
        """Tell whether ``value`` is within the bounds."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        bounds = [("at least", self.least), ("at most", self.most)]
        return ", ".join(f"{name} {bound:g}" for name, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number: ``what`` was measured, in which ``unit``, beside ``yardstick`` (``against``), and the goal.

    ``at`` is the size that it was taken at, for those that are taken at several. ``is_told`` is one that the README shows
    though it has no goal.
    """

    what: str
    value: float
    unit: str
    against: str = ""
    yardstick: float | None = None
    goal: Goal = field(default_factory=Goal)
    at: int | None = None
    is_told: bool = False

    @property
    def ratio(self) -> float | None:
        """The value in yardsticks."""
        return None if not self.yardstick else self.value / self.yardstick

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal == Goal():
            return None
        return self.goal.is_reached(self.value if self.ratio is None else self.ratio)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "against": self.against,
            "yardstick": self.yardstick,
            "ratio": self.ratio,
            "goal": str(self.goal),
            "reached": self.is_reached,
            "at": self.at,
            "told": self.is_told,
        }


def machine() -> dict[str, str]:
    """Return what the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def document(name: str, figures: Iterable[Figure], *, small: bool) -> dict[str, Any]:
    """Return a benchmark's figures as JSON values, with the machine."""
    return {
        "benchmark": name,
        "small": small,
        "machine": machine(),
        "figures": [figure.document() for figure in figures],
    }


def show(document: Mapping[str, Any]) -> None:
    """Print a benchmark's figures as a table, and the machine below."""
    table = Table(
        title=f"{document['benchmark']}{' (small)' if document['small'] else ''}", title_justify="left"
    )
    for column in ("measured", "figure", "yardstick", "ratio", "goal", ""):
        table.add_column(column, justify="right" if column in {"figure", "ratio"} else "left")
    for one in document["figures"]:
        beside = "" if one["yardstick"] is None else f"{_number(one['yardstick'])} {one['against']}"
        reached = {True: "reached", False: "[red]not reached[/]", None: ""}[one["reached"]]
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        table.add_row(
            one["what"], f"{_number(one['value'])} {one['unit']}", beside, ratio, one["goal"], reached
        )
    rich.print(table)
    rich.print(", ".join(document["machine"].values()))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    """Return the name of the processor (proc_cpuinfo(5)); its architecture where there is none."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
