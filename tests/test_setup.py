"""``init``: a configuration that loads; and how commands answer mistakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch import config as configuration
from identifai_watch.cli.preflight import unit
from tests.console import at, typed
from tests.harness import House, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """Give a house whose simulator answers at once."""
    with house(tmp_path) as one:
        yield one


# init.


def test_flags_make_a_configuration(tmp_path: Path) -> None:
    """What init writes loads without problems and says what the flags said."""
    made = tmp_path / "new" / "watch.toml"
    drop = tmp_path / "drop"
    ended = typed(
        "init", "--path", drop, "--name", "news", "--action", "move", "--key-file", tmp_path / "key",
        "--url", "http://127.0.0.1:9", "--ledger", tmp_path / "l.db", "--config", made,
    )  # fmt: skip
    assert ended.status == 0
    config = configuration.load(made, {})
    folder = config.folders[0]
    assert (drop, "news", "move") == (folder.path, folder.name, folder.action)
    assert ("http://127.0.0.1:9", tmp_path / "key") == (config.api.url, config.api.key_file)
    assert config.ledger.url == f"sqlite:///{tmp_path}/l.db"
    assert ended.out.rstrip().endswith(f"identifai-watch check --config {made}")


def test_a_service_and_the_shell_share_a_ledger(tmp_path: Path) -> None:
    """A configuration below /etc is a service's: its ledger is named, since systemd and a shell differ in the default."""
    assert unit.is_for_a_service(Path("/etc/identifai-watch/config.toml"))
    assert not unit.is_for_a_service(tmp_path / "config.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "SERVICES", tmp_path / "etc")
        made = tmp_path / "etc" / "config.toml"
        ended = typed("init", "--path", tmp_path / "drop", "--config", made)
        assert "The ledger is /var/lib/identifai-watch/ledger.db" in ended.out
        assert 'url = "sqlite:////var/lib/identifai-watch/ledger.db"' in made.read_text()
        own = tmp_path / "etc" / "own.toml"
        typed("init", "--path", tmp_path / "drop", "--ledger", tmp_path / "l.db", "--config", own)
        assert f"sqlite:///{tmp_path}/l.db" == configuration.load(own, {}).ledger.url


def test_several_folders(tmp_path: Path) -> None:
    """--path may be repeated; the folders are named after their paths."""
    made = tmp_path / "watch.toml"
    assert typed("init", "--path", tmp_path / "a", "--path", tmp_path / "b", "--config", made).status == 0
    assert ["a", "b"] == [folder.name for folder in configuration.load(made, {}).folders]


def test_relative_paths_are_those_of_who_typed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative --path is written as the absolute one; the default file needs no --config afterwards."""
    monkeypatch.chdir(tmp_path)
    ended = typed("init", "--path", "drop")
    assert tmp_path / "drop" == configuration.load(tmp_path / "identifai-watch.toml", {}).folders[0].path
    assert ended.out.rstrip().endswith("identifai-watch check")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A configuration that is there is not touched."""
    made = tmp_path / "watch.toml"
    made.write_text("mine")
    ended = typed("init", "--path", tmp_path, "--config", made)
    assert (1, "mine", True) == (ended.status, made.read_text(), "not touched" in ended.err)


@pytest.mark.parametrize(
    ("words", "status"),
    [((), 2), (("--path", "/a", "--path", "/b", "--name", "x"), 2), (("--path", "/a", "--path", "/a/b"), 78)],
)
def test_wrong_wishes_write_nothing(tmp_path: Path, words: tuple[str, ...], status: int) -> None:
    """Without a folder, with one name for two, or with overlapping folders, no file is made."""
    made = tmp_path / "watch.toml"
    assert (status, False) == (typed("init", *words, "--config", made).status, made.exists())


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """A folder that is not there and a key that is not there are named with what to do."""
    ended = typed(
        "init", "--path", tmp_path / "drop", "--key-file", tmp_path / "key", "--config", tmp_path / "c.toml",
        environ={"IDENTIFAI_API_KEY": ""},
    )  # fmt: skip
    assert f"mkdir -p {tmp_path}/drop" in ended.out
    assert f"Put it into {tmp_path}/key" in ended.out


# How the commands answer mistakes.


def test_a_misspelt_command() -> None:
    """A command that does not exist is answered with what it may have been."""
    ended = typed("statsu")
    assert (2, True) == (ended.status, "Did you mean 'status'?" in ended.err)
    assert typed("zzz").status == 2


def test_a_wrong_configuration_is_named(home: House) -> None:
    """Any command says which file is wrong."""
    home.folder = {"action": "sidcar"}
    ended = at(home, "status")
    assert (78, True) == (ended.status, f"The configuration {home.config_path} is wrong:" in ended.err)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON: "),
        ("[]", "it holds no object"),
        ('{"delai": 1}', "is no script: delai: "),
    ],
)
def test_a_script_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    """A script that cannot be read, or says what nobody knows, is one line."""
    script = tmp_path / "script.json"
    script.write_text(text)
    ended = typed("simulate", "--script", script)
    assert (1, 1, True) == (ended.status, len(ended.err.splitlines()), says in ended.err)


def test_a_port_that_is_taken(home: House) -> None:
    """A port that another program has is said in one line."""
    port = home.simulator.url.rpartition(":")[2]
    ended = typed("simulate", "--port", port)
    assert (
        1,
        f"identifai-watch: port {port} cannot be had: Address already in use; name another --port\n",
    ) == (
        ended.status,
        ended.err,
    )
