"""What is written in ``conf.d`` and in the environment, which wins; and what is shown of where each value is from."""

import json
import os
import signal
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from identifai_watch import config
from identifai_watch.config.effective import DEFAULT, Setting, effective
from identifai_watch.config.models import Config
from identifai_watch.config.tables import below, fields_of, takes_text
from identifai_watch.config.values import ProxyAddress, WebAddress
from identifai_watch.config.written import PREFIX
from identifai_watch.core.model import Label, Media, Outcome
from identifai_watch.errors import ConfigError, Exit
from tests.harness import house, wait_for
from tests.watching import picture

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes a configuration and its ``conf.d``, and returns the main file."""

    def written(main: str = "", **fragments: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(main)
        for name, content in fragments.items():
            fragment = tmp_path / "conf.d" / f"{name}.toml"
            fragment.parent.mkdir(exist_ok=True)
            fragment.write_text(content)
        return path

    return written


def problems(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigError) as found:
        config.load(path, environ or {})
    assert path == found.value.path
    return found.value.problems


# conf.d


def test_folders_of_conf_d_follow_in_the_order_of_their_names(write: Write, tmp_path: Path) -> None:
    """Each file brings folders, whose paths are relative to it; what is no TOML file or hidden is left alone."""
    path = write(
        '[[folder]]\npath = "/a"',
        **{
            "20-c": '[[folder]]\npath = "/c"\n[folder.options]\nwith_heatmap = true',
            "10-b": '[[folder]]\npath = "b"\n[[folder]]\npath = "~/b2"',
            ".hidden": "no TOML",
        },
    )
    (tmp_path / "conf.d" / "30-d.toml.dpkg-dist").write_text("no TOML")
    folders = config.load(path, {}).folders
    assert ["/a", f"{tmp_path}/conf.d/b", str(Path("~/b2").expanduser()), "/c"] == [
        str(one.path) for one in folders
    ]
    assert folders[-1].options.with_heatmap


def test_folders_may_all_stand_in_conf_d(write: Write) -> None:
    """The main file needs none then; without any it is told."""
    assert ["drop"] == [one.name for one in config.load(write(drop='[[folder]]\npath = "/drop"'), {}).folders]


def test_each_problem_names_its_file(write: Write) -> None:
    """What is wrong in a file of conf.d, or between two, is told with the file's name; the main file's as ever."""
    path = write(
        '[api]\nuploads = 0\n[[folder]]\npath = "/srv"',
        one='[[folder]]\npath = "/srv/a"\nname = "wires"\nsettle_secnds = 1',
        two='[[folder]]\npath = "/b"\n[[folder]]\npath = ""\n[[folder]]\npath = "/srv"',
    )
    assert [
        "api.uploads: 0 is below 1",
        "conf.d/one.toml: folder.wires.settle_secnds: unknown key; did you mean settle_seconds?",
        "conf.d/two.toml: folder.#2.path: is empty; name a path",
        'conf.d/two.toml: folder.#3.name: "srv" is the name of folder.#1 too; give each folder a name of its own',
        "conf.d/two.toml: folder.#3.path: /srv is the path of folder.#1 too; watch it once",
    ] == problems(path)


def test_what_cannot_be_read_is_told_for_all_files(write: Write) -> None:
    """Mistakes in TOML, and what only the main file may hold, are told at once."""
    found = problems(
        write("[api", one="x =", two="folder = 3\n", three='[web]\nlisten = ""\n[[folder]]\npath = "/a"')
    )
    assert found[0].startswith("not TOML: ")
    assert found[1].startswith("conf.d/one.toml: not TOML: ")
    assert [
        "conf.d/three.toml: web: does not belong here; only [[folder]] does",
        "conf.d/two.toml: folder: is not a list; write [[folder]]",
    ] == found[2:]


def test_a_reload_reads_conf_d_too(tmp_path: Path) -> None:
    """A file that is put there is watched after SIGHUP; a wrong one is refused with its name, and all stays."""
    (tmp_path / "wires").mkdir()
    fragment = tmp_path / "conf.d" / "wires.toml"
    fragment.parent.mkdir()
    with house(tmp_path) as home, home.process() as process:
        fragment.write_text(
            f'[[folder]]\npath = "{tmp_path}/wires"\nsettle_seconds = 0.3\nrescan_seconds = 1\n'
        )
        process.send_signal(signal.SIGHUP)
        home.sidecar(picture(tmp_path / "wires" / "a.png"))
        fragment.write_text(f'[[folder]]\npath = "{tmp_path}/wires"\nsetle_seconds = 0.3\n')
        process.send_signal(signal.SIGHUP)
        wait_for(
            lambda: "conf.d/wires.toml: folder.#1.setle_seconds" in home.log.read_text(), "it is refused"
        )
        home.sidecar(picture(tmp_path / "wires" / "b.png"))


# The environment


def test_the_environment_wins_over_the_files(write: Write) -> None:
    """Text is taken as it is; numbers, switches, lists and tables are written as in TOML."""
    path = write(
        '[api]\nuploads = 2\nposts_per_day = 7\n[[folder]]\npath = "/a"',
        b='[[folder]]\npath = "/b"\nname = "Wire photos"',
    )
    found = config.load(
        path,
        {
            "IDENTIFAI_WATCH__API__URL": "https://x.org",
            "IDENTIFAI_WATCH__API__UPLOADS": "8",
            "IDENTIFAI_WATCH__API__CREDITS_FLOOR": "1.5",
            "IDENTIFAI_WATCH__API__SEND_NAMES": "true",
            "IDENTIFAI_WATCH__API__BACKLOG_HOURS": "01:00-06:00",
            "IDENTIFAI_WATCH__API__KEY_FILE": "",
            "IDENTIFAI_WATCH__NOTIFY__ON": '["human"]',
            "IDENTIFAI_WATCH__NOTIFY": '{ command = ["mail", "desk"] }',
            "IDENTIFAI_WATCH__FOLDER__WIRE_PHOTOS__FILE_MODE": "0640",
            "IDENTIFAI_WATCH__FOLDER__WIRE_PHOTOS__DIRECTORY_MODE": "2750",
            "IDENTIFAI_WATCH__FOLDER__WIRE_PHOTOS__ACTION": "record",
            "IDENTIFAI_WATCH__FOLDER__WIRE_PHOTOS__MIN_CONFIDENCE": "{ artificial = 0.8 }",
            "IDENTIFAI_WATCH__FOLDER__WIRE_PHOTOS__OPTIONS__WITH_HEATMAP": "true",
            "IDENTIFAI_WATCH__FOLDER__A__OPTIONS": "{ frames = 10 }",
            "IDENTIFAI_WATCH_CONFIG": "is another matter",
            "IDENTIFAI_WATCH_PORT_8451_TCP": "is what Kubernetes says of a service",
        },
    )
    api, notify, (a, wires) = found.api, found.notify, found.folders
    assert ("https://x.org", 8, 7, 1.5, True) == (
        api.url,
        api.uploads,
        api.posts_per_day,
        api.credits_floor,
        api.send_names,
    )
    assert ("01:00-06:00", None) == (str(api.backlog_hours), api.key_file)
    assert ((Outcome.HUMAN,), ("mail", "desk")) == (notify.on, notify.command)
    assert (0o640, 0o2750, "record", True) == (
        wires.file_mode,
        wires.directory_mode,
        wires.action,
        wires.options.with_heatmap,
    )
    assert 0.8 == wires.min_confidence[Media.IMAGE][Label.ARTIFICIAL]
    assert 10 == a.options.frames


def test_folders_may_all_stand_in_the_environment(write: Write) -> None:
    """A folder that has a path there is a new one; or all are written at once, which leaves the files' aside."""
    path = write()
    drop = {f"{PREFIX}FOLDER__DROP__PATH": "/data", f"{PREFIX}FOLDER__DROP__PRIORITY": "3"}
    assert [("drop", "/data", 3)] == [
        (one.name, str(one.path), one.priority) for one in config.load(path, drop).folders
    ]
    every = {f"{PREFIX}FOLDER": '[{ path = "/a" }, { path = "/b" }]', f"{PREFIX}FOLDER__B__PRIORITY": "2"}
    path = write('[[folder]]\npath = "/of/the/file"')
    assert [("a", 0), ("b", 2)] == [(one.name, one.priority) for one in config.load(path, every).folders]


def test_each_problem_names_its_variable(write: Write) -> None:
    """Unknown names are refused with a suggestion, and values as those of a file; the value of an unknown one is not shown."""
    path = write('[[folder]]\npath = "/srv/drop"', b='[[folder]]\npath = "/b"\nname = "wires"')
    assert [
        '$IDENTIFAI_WATCH__API__UPLOADS: api.uploads: "many" is not a whole number',
        "$IDENTIFAI_WATCH__API__KEY: api.key: the key never stands in the configuration; name a file that holds it with api.key_file",
        "$IDENTIFAI_WATCH__API__URLL: api.urll: unknown key; did you mean url?",
        '$IDENTIFAI_WATCH__NOTIFY__ON: notify.on: "human" is not a list; write it in square brackets',
        '$IDENTIFAI_WATCH__FOLDER__WIRES__RECURSIVE: conf.d/b.toml: folder.wires.recursive: "yes" is not true or false; write it without quotes',
        "$IDENTIFAI_WATCH__APPI__URL: appi: unknown key; did you mean api?",
    ] == problems(
        path,
        {
            "IDENTIFAI_WATCH__APPI__URL": "s3cret",
            "IDENTIFAI_WATCH__API__KEY": "s3cret",
            "IDENTIFAI_WATCH__API__URLL": "s3cret",
            "IDENTIFAI_WATCH__API__UPLOADS": "many",
            "IDENTIFAI_WATCH__NOTIFY__ON": "human",
            "IDENTIFAI_WATCH__FOLDER__WIRES__RECURSIVE": "yes",
        },
    )
    assert [
        "$IDENTIFAI_WATCH__API____URL: unknown; did you mean IDENTIFAI_WATCH__API__URL?",
        "$IDENTIFAI_WATCH__FOLDER__WIRE__PRIORITY: there is no such folder; did you mean WIRES? (a new one needs IDENTIFAI_WATCH__FOLDER__WIRE__PATH)",
        "$IDENTIFAI_WATCH__api__url: unknown; did you mean IDENTIFAI_WATCH__API__URL?",
    ] == sorted(
        problems(
            path,
            {f"{PREFIX}api__url": "x", f"{PREFIX}API____URL": "x", f"{PREFIX}FOLDER__WIRE__PRIORITY": "1"},
        )
    )


def test_what_a_variable_cannot_tell_apart(write: Write) -> None:
    """Two folders whose names are one variable's, and a table that is none, are told and end nothing."""
    path = write('[[folder]]\npath = "/a"\nname = "x-1"\n[[folder]]\npath = "/b"\nname = "x 1"')
    assert [
        "$IDENTIFAI_WATCH__FOLDER__X_1__PRIORITY: may be any of 2 folders, whose names differ only in what a variable cannot hold"
    ] == problems(path, {f"{PREFIX}FOLDER__X_1__PRIORITY": "1"})
    path = write('api = 3\n[[folder]]\npath = "/a"')
    assert any(
        "api: 3 is not a table" in line for line in problems(path, {f"{PREFIX}API__URL": "https://x.org"})
    )
    path = write('folder = "x"')
    assert [True] == ["folder" in line for line in problems(path, {f"{PREFIX}FOLDER__X__PATH": "/x"})]


def every_key() -> list[tuple[str, Any]]:
    """Return each key with the name of its variable, for a folder that is called drop."""

    def walk(section: Any, name: str) -> Any:
        tables = below(section)
        for key, field in fields_of(section).items():
            if key in tables:
                yield from walk(tables[key], f"{name}{key.upper()}__{'DROP__' if key == 'folder' else ''}")
            else:
                yield f"{name}{key.upper()}", field

    return list(walk(Config, PREFIX))


def test_every_key_may_stand_in_the_environment(write: Write, tmp_path: Path) -> None:
    """What the example says, said by variables alone, is what the example says."""
    example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    environ = {"STATE_DIRECTORY": "/var/lib/identifai-watch"}
    for name, field in every_key():
        place: Any = example
        for word in name.removeprefix(PREFIX).lower().split("__"):
            place = place[0] if isinstance(place, list) else place.get(word)
        if place is not None:
            environ[name] = place if takes_text(field) else tomllib_text(place)
    assert len(environ) > 60
    path = write("")
    assert config.parse(EXAMPLE.read_text(encoding="utf-8"), tmp_path, environ) == config.load(path, environ)


def tomllib_text(value: Any) -> str:
    """Return a value as TOML writes it."""
    return config.dump({"v": value}).removeprefix("v = ").strip()


# What is shown


def origins(settings: list[Setting]) -> dict[str, str]:
    """Return where each setting is from that somebody wrote."""
    return {one.dotted: one.origin for one in settings if one.origin != DEFAULT}


def test_where_each_value_is_from(write: Write, tmp_path: Path) -> None:
    """The file, a file of conf.d, a variable, or the default."""
    path = write(
        '[api]\nuploads = 2\nposts_per_day = 7\n[[folder]]\npath = "/a"\n[folder.options]\nframes = 5',
        b='[[folder]]\npath = "/b"\nname = "wire photos"',
    )
    environ = {
        f"{PREFIX}API__UPLOADS": "3",
        f"{PREFIX}FOLDER__NEW__PATH": "/new",
        f"{PREFIX}WEB": '{ listen = "" }',
    }
    fragment = str(tmp_path / "conf.d" / "b.toml")
    assert {
        "api.uploads": f"${PREFIX}API__UPLOADS",
        "api.posts_per_day": str(path),
        "web.listen": f"${PREFIX}WEB",
        "folder.a.path": str(path),
        "folder.a.options.frames": str(path),
        "folder.wire photos.path": fragment,
        "folder.wire photos.name": fragment,
        "folder.new.path": f"${PREFIX}FOLDER__NEW__PATH",
        "folder.new.name": f"${PREFIX}FOLDER__NEW__PATH",
    }.items() <= origins(effective(path, environ)).items()


def test_what_is_shown_is_the_same_configuration(tmp_path: Path) -> None:
    """The output of ``config show --effective`` is TOML that means what it was made from."""
    with house(tmp_path) as home:
        home.folder = {
            "min_confidence": {"image": 0.5, "audio": {"human": 0.1}},
            "file_mode": "0640",
            "options": {"frames": 10, "with_heatmap": True},
        }
        home.more = {"notify": {"command": ["a", 'b "c" \\']}}
        home.api = {"backlog_hours": "22:00-06:30"}
        shown = home.command("config", "show", "--effective")
        assert Exit.OK == shown.returncode, shown.stderr
        assert "" == shown.stderr
        assert home.config() == config.parse(shown.stdout, tmp_path, {})
        written = tomllib.loads(home.command("config", "show").stdout)
        assert {"api", "ledger", "web", "notify", "folder"} == set(written)
        assert "priority" not in written["folder"][0]


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    """Addresses that may hold passwords are only said to be set; so it is in JSON."""
    with house(tmp_path) as home:
        home.api = {"proxy": "http://user:s3cret@proxy.example.org:3128"}
        home.more = {"notify": {"webhook": "https://hooks.example.org/s3cret"}}
        home.folder = {"options": {"webhook_url": "https://x.org/s3cret"}}
        environ = {f"{PREFIX}API__UPLOADS": "3"}
        text = home.command("config", "show", "--effective", environ=environ).stdout
        found = json.loads(home.command("config", "show", "--json", environ=environ).stdout)
    assert "# proxy is set, and not shown; " in text
    assert "s3cret" not in text + json.dumps(found)
    by_key = {one["key"]: one for one in found["settings"]}
    assert {"api.proxy", "notify.webhook", "folder.drop.options.webhook_url"} == {
        key for key, one in by_key.items() if one["secret"]
    }
    assert {"key": "api.uploads", "value": 3, "from": f"${PREFIX}API__UPLOADS", "secret": False} == by_key[
        "api.uploads"
    ]
    assert str(tmp_path / "identifai-watch.toml") == found["path"]


def test_a_wrong_configuration_is_not_shown(tmp_path: Path) -> None:
    """It is told as by every other command."""
    with house(tmp_path) as home:
        found = home.command("config", "show", environ={f"{PREFIX}API__UPLOADS": "0"})
    assert Exit.CONFIG == found.returncode
    assert "$IDENTIFAI_WATCH__API__UPLOADS: api.uploads: 0 is below 1" in found.stderr


def test_a_path_that_is_no_text(write: Write) -> None:
    """A folder whose path is no UTF-8 can be named by a variable alone."""
    name = os.fsdecode(b"/data/\xe9")
    found = config.load(write(), {f"{PREFIX}FOLDER__X__PATH": name})
    assert b"/data/\xe9" == found.folders[0].root


def test_every_address_that_may_be_a_secret_is_marked() -> None:
    """What may hold a password or a token is kept out of every repr, and so of what is shown."""
    secret = {_validator(kind) for kind in (WebAddress, ProxyAddress)}
    found = [(name, field) for name, field in every_key() if secret & set(map(_function, field.metadata))]
    assert len(found) >= 3
    assert [] == [name for name, field in found if field.repr]


def _validator(kind: Any) -> Any:
    return _function(kind.__metadata__[0])


def _function(part: Any) -> Any:
    return getattr(part, "func", None)
