"""What lies in ``monitoring/``: the tools' own checkers like it, and it speaks of metrics that there are and no others."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from identifai_watch.core.model import Account
from identifai_watch.core.nodes import Node
from identifai_watch.core.report import Room, WatchedFolder
from identifai_watch.core.tally import LABELS, Counted, Tally, Took
from identifai_watch.metrics import exposition
from tests.test_report import REPORT

ROOT = Path(__file__).parent.parent
MONITORING = ROOT / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))[
    "groups"
][0]["rules"]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus has it)"
)


def all_there_is(*hosts: str) -> str:
    """Return the exposition of a report in which nothing is left out, of these hosts if any is named."""
    tally = Tally()
    for counted in Counted:
        tally.count(counted, *(f"any {label}" for label in LABELS[counted]))
    for took in Took:
        tally.took(took, "any", timedelta(seconds=3))
    folder = WatchedFolder(
        name="drop",
        path="/srv/drop",
        health="degraded",
        mode="scan",
        reason='of "one\\n" kind',
        last_scan_at=NOW,
    )
    of_hosts = tuple(
        Node(
            name=host,
            is_here=number == 0,
            is_running=True,
            health="ok",
            since=NOW,
            seen_at=NOW,
            tally=tally,
        )
        for number, host in enumerate(hosts)
    )
    return exposition(
        replace(
            REPORT,
            tally=tally,
            folders=tuple(replace(folder, node=host) for host in hosts or ("",)),
            account=Account(credits=3, credits_at=NOW, succeeded_at=NOW),
            oldest_at=(NOW, NOW),
            seen_at=NOW,
            rooms=(Room(method="POST", window="day", left=1, allowed=2),),
            nodes=of_hosts,
        )
    )


SAMPLES = {
    sample.name: set(sample.labels)
    for family in text_string_to_metric_families(all_there_is("ada", "bob"))
    for sample in family.samples
}
"""What a ledger of several hosts tells: that of one host has the same, without the label of the host."""
NAME = re.compile(r"\bidentifai_watch_\w+")


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def expressions() -> list[str]:
    """Return every expression of the dashboard, as Prometheus is asked."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    return [one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in asked]


def test_only_metrics_that_there_are() -> None:
    """In the dashboard, the alerts, their tests and the README; and none that is exposed has no sample here."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(MONITORING.iterdir())]
    texts.append((ROOT / "README.md").read_text(encoding="utf-8"))
    named = {name for text in texts for name in NAME.findall(text)}
    families = {family.name for family in text_string_to_metric_families(all_there_is()) if family.samples}
    assert named - set(SAMPLES) - families == set()
    asked = {
        name for text in [*expressions(), *(rule["expr"] for rule in RULES)] for name in NAME.findall(text)
    }
    assert asked <= set(SAMPLES), "a histogram has buckets, and no value of its own"
    declared = {
        line.split()[2].removesuffix("_total") for line in all_there_is().splitlines() if "# TYPE" in line
    }
    assert declared == families


def test_only_labels_that_there_are() -> None:
    """What an expression matches by, or groups by, is a label of its metric or the scraper's own."""
    matched = re.compile(r"\b(identifai_watch_\w+)\{([^}]*)\}")
    for text in [*expressions(), *(rule["expr"] for rule in RULES)]:
        for name, matchers in matched.findall(text):
            labels = set(re.findall(r"(\w+)(?:=~|!=|=)", matchers))
            assert labels <= SAMPLES[name] | {"instance"}, text
        for grouped in re.findall(r"by \(([^)]*)\)", text):
            of = set.union(*(SAMPLES[name] for name in NAME.findall(text)))
            assert set(grouped.split(", ")) <= of | {"instance"}, text


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Numbers of its own for panels that do not overlap, a data source that is chosen, one letter for each target."""
    everything = DASHBOARD["panels"]
    assert len({one["id"] for one in everything}) == len(everything)
    assert DASHBOARD["uid"] == DASHBOARD["title"] == "identifai-watch"
    assert DASHBOARD["schemaVersion"] >= 36, "from there on a data source is an object"
    chosen = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert chosen == {"datasource": "datasource", "instance": "query"}
    for panel in panels():
        assert panel["title"]
        assert panel["description"], "a reader is told what a panel shows"
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(set(letters)) == len(letters)
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    taken = [cells(one["gridPos"]) for one in everything]
    assert sum(map(len, taken)) == len(set.union(*taken)), "no two lie on each other"
    assert all(0 <= x < 24 for some in taken for x, _ in some)
    rows = [one["gridPos"]["y"] for one in everything]
    assert all(above <= below for above, below in pairwise(rows))


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    """Return the cells of the grid that a panel covers."""
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


def test_every_alert_says_what_to_do_and_is_tested() -> None:
    """A severity, a summary and a remedy; and a test in which it fires."""
    tests = yaml.safe_load((MONITORING / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "remedy"}
    assert {rule["alert"] for rule in RULES} == fired


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
)
def test_promtool_likes_the_files(words: tuple[str, ...]) -> None:
    """The rules and the example are valid, and each alert fires when it should, and not before."""
    done = subprocess.run(["promtool", *words], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_host_has_the_same_samples_without_its_name() -> None:
    """A ledger that is a file is told of as ever: no label is new there, and none is missing."""
    found = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(all_there_is())
        for sample in family.samples
    }
    assert {name: labels - {"node"} for name, labels in SAMPLES.items()} == found


@needs_promtool
@pytest.mark.parametrize("hosts", [(), ("ada", "bob")])
def test_promtool_likes_what_is_exposed(hosts: tuple[str, ...]) -> None:
    """Names, units, types and texts follow Prometheus's own customs."""
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=all_there_is(*hosts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_promtool
def test_promtool_understands_every_panel(tmp_path: Path) -> None:
    """Each expression of the dashboard is one that Prometheus can answer."""
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
