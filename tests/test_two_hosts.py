"""Two hosts in five minutes: the README's own configuration, on two nodes that are processes, and one server."""

import re
import tomllib
from pathlib import Path
from typing import Any

from tests.harness import House, house, wait_for
from tests.postgres import Cluster

README = Path(__file__).parent.parent / "README.md"


def chapter() -> str:
    """Return the README's chapter."""
    found = re.search(
        r"^## Several hosts, one account\n(.*?)^## ", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]


def written(url: str, passfile: Path) -> dict[str, Any]:
    """Return the configuration that the chapter shows, with the address of a server that there is."""
    text, *_ = re.findall(r"^```toml\n(.*?)^```", chapter(), re.MULTILINE | re.DOTALL)
    address, _, name = url.rpartition("/")
    text = text.replace("postgresql+psycopg://identifai@db.example.org/identifai", f"{address}/{name}")
    document = tomllib.loads(text.replace("/etc/identifai-watch/pgpass", str(passfile)))
    assert document["ledger"]["url"] == f"{url}?passfile={passfile}"
    return document


def test_two_hosts_and_one_account(tmp_path: Path, postgres: Cluster) -> None:
    """Each has its sidecar, the account is charged once, and the history says who did what."""
    passfile = tmp_path / "pgpass"
    passfile.write_text("127.0.0.1:*:*:*:whatever\n", encoding="utf-8")
    passfile.chmod(0o600)
    document = written(postgres.database(), passfile)
    with house(tmp_path / "harbour") as harbour:
        pier = House(home=tmp_path / "pier", simulator=harbour.simulator)
        harbour.more, pier.more = document, document | {"node": {"name": "pier"}}
        with harbour.process(), pier.process():
            paths = [one.put("sample.jpg", f"{name}.jpg") for one, name in ((harbour, "a"), (pier, "b"))]
            told = [one.sidecar(path) for one, path in zip((harbour, pier), paths, strict=True)]
            assert told[0]["file"]["sha256"] == told[1]["file"]["sha256"]
            assert [False, True] == sorted(one["duplicate"] for one in told)
            ended = harbour.command("status", "--json")
            assert (0, "") == (ended.returncode, ended.stderr)
            said = wait_for(lambda: harbour.command("history", "verify").stdout, "the chain is walked")
            assert "The chain is whole." in said
            told_by = harbour.command("history", "--json").stdout
        assert 1 == len(harbour.simulator.state.charged)
    assert {"daemon on harbour", "daemon on pier"} == set(re.findall(r'"who": "([^"]+)"', told_by))
    for one in (harbour, pier):
        assert one.logged()[-1]["event"] == "stopped"
        assert "whatever" not in one.log.read_text("utf-8")
