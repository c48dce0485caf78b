"""The configuration: what it says, and what is said of its mistakes."""

import json
import os
import re
import socket
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from identifai_watch import config
from identifai_watch.config import folder as folder_config
from identifai_watch.config import options as option_config
from identifai_watch.config.models import NEEDS_RESTART
from identifai_watch.core.model import Label, Media, Outcome
from identifai_watch.core.routing import Action
from identifai_watch.errors import AccountError, ConfigError, Exit

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
BASE = Path("/etc/identifai-watch")
ENVIRON = {"STATE_DIRECTORY": "/var/lib/identifai-watch"}


def parse(text: str, environ: Mapping[str, str] = ENVIRON) -> config.Config:
    """Return the configuration that ``text`` says."""
    return config.parse(text, BASE, environ)


def folder(text: str = "", *, path: str = "/srv/drop") -> config.Folder:
    """Return the one folder of a configuration."""
    return parse(f'[[folder]]\npath = "{path}"\n{text}').folders[0]


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """Return the problems of a configuration; there are none when it loads."""
    try:
        parse(text, environ)
    except ConfigError as error:
        return error.problems
    return []


def folder_problems(text: str) -> list[str]:
    """Return the problems of a folder named drop."""
    return problems(f'[[folder]]\npath = "/srv/drop"\nname = "drop"\n{text}')


def sections(model: type[BaseModel] = config.Config, header: str = "") -> dict[str, type[BaseModel]]:
    """Return every table of the file by its dotted header."""
    found = {header: model} if header else {}
    for name, field in model.model_fields.items():
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                found |= sections(candidate, f"{header}.{field.alias or name}".removeprefix("."))
    return found


def test_the_example_equals_the_defaults() -> None:
    """The example configuration loads, and says what holds when nothing is said."""
    assert parse('[[folder]]\npath = "/srv/drop"') == config.load(EXAMPLE, ENVIRON)


def test_the_example_names_every_key() -> None:
    """Every key of every section stands in the example, switched off where no value means its default."""
    uncommented = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    document = tomllib.loads(uncommented)
    document["folder"] = document["folder"][0]
    for header, model in sections().items():
        table = document
        for key in header.split("."):
            table = table[key]
        assert {field.alias or name for name, field in model.model_fields.items()} == set(table), header
    assert parse(uncommented).folders[0].options.frames == 10


def test_the_example_explains_every_key() -> None:
    """Every line of the example that holds a key says in a comment what it is for, but the address of the API."""
    bare = [line for line in EXAMPLE.read_text().splitlines() if re.match(r"(# )?\w+ = (?!.*\s#\s)", line)]
    assert bare == []


def test_five_mistakes_are_five_lines() -> None:
    """All problems are told at once, with dotted name, value and remedy; the exit status is 78."""
    found = problems(
        """
        [api]
        uploads = 0
        [web]
        listen = "8451"
        [[folder]]
        path = "/srv/a"
        settle_secnds = 3
        [[folder]]
        name = "b"
        path = "/srv/b"
        events = "of"
        min_bytes = "many"
        """
    )
    assert found == [
        "api.uploads: 0 is below 1",
        'web.listen: "8451" is not host:port; write it like 127.0.0.1:8451, or "" for off',
        "folder.#1.settle_secnds: unknown key; did you mean settle_seconds?",
        'folder.b.min_bytes: "many" is not a whole number',
        'folder.b.events: "of" is not known; did you mean off?',
    ]
    assert ConfigError(found).exit == Exit.CONFIG


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["folder: there is none; write [[folder]] and below it the path to watch"]),
        ("folder = []", ["folder: there is none; write [[folder]] and below it the path to watch"]),
        ("folder = 5", ["folder: there is none; write [[folder]] and below it the path to watch"]),
        ('[folder]\npath = "x"', ["folder: there is none; write [[folder]] and below it the path to watch"]),
        ("folder = [5]", ["folder.#1: 5 is not a table"]),
        ('[[folder]]\nname = "x"', ["folder.x.path: is missing; every folder has one"]),
        ('[[folder]]\nname = "a b"\npath = ""', ['folder."a b".path: is empty; name a path']),
        ("[[folder]]\npath = 5", ["folder.#1.path: 5 is not text; put it in quotes"]),
        ('[[folder]]\npath = "a\\tb"', ["folder.#1.path: holds control characters"]),
        (
            '[[folder]]\npath = "~nobody-of-that-name/x"',
            [
                (
                    'folder.#1.path: "~nobody-of-that-name/x" begins with the home of a user that does not exist; '
                    "write ./~ if that is its name"
                )
            ],
        ),
        (
            '[[folder]]\npath = "/"',
            ["folder.#1.name: is empty and cannot be taken from the path /; give the folder a name"],
        ),
        (
            '[[folder]]\npath = "/a"\nname = "a/b"',
            ['folder."a/b".name: "a/b" holds a slash; a name is no path'],
        ),
        ("a == 1", ["not TOML: Invalid value (at line 1, column 4)"]),
    ],
)
def test_a_folder_is_needed(text: str, expected: list[str]) -> None:
    """A configuration without a folder that can be watched is wrong, and the line says what to write."""
    assert expected == problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("settle_seconds = true", "settle_seconds: true is not a number"),
        ("settle_seconds = 0", "settle_seconds: 0 is below 0.1"),
        ("timestamp_granularity_seconds = -1", "timestamp_granularity_seconds: -1 is below 0"),
        ("timestamp_granularity_seconds = 61", "timestamp_granularity_seconds: 61 is above 60"),
        ("read_megabytes_per_second = -1", "read_megabytes_per_second: -1 is below 0"),
        ("rescan_seconds = inf", "rescan_seconds: Infinity is not a finite number"),
        ("rescan_seconds = 1e9", "rescan_seconds: 1000000000.0 is above 604800"),
        ("recursive = 1", "recursive: 1 is not true or false; write it without quotes"),
        ('include = "*.jpg"', 'include: "*.jpg" is not a list; write it in square brackets'),
        ('exclude = [" "]', "exclude: holds an empty glob; leave it away"),
        ('media = ["image", "vidoe"]', 'media.#2: "vidoe" is not known; did you mean video?'),
        ("media = []", "media: is empty, so that nothing would be judged; name some of image, video, audio"),
        ('mp4_as = "image"', 'mp4_as: "image" is not known; known: video, audio'),
        ('action = "delete"', 'action: "delete" is not known; known: sidecar, move, copy, record'),
        (
            'file_mode = "0999"',
            'file_mode: "0999" is not a mode; write three or four octal digits, like "0664"',
        ),
        ("file_mode = 0o664", 'file_mode: is not text; write the octal digits in quotes, like "0664"'),
        (
            'file_mode = "0444"',
            'file_mode: "0444" keeps its owner from reading and writing; begin it with 06',
        ),
        (
            'directory_mode = "0644"',
            'directory_mode: "0644" keeps its owner from entering and writing; give the owner a 7',
        ),
        ('ref_id = "{folder}/{name}"', 'ref_id: "{folder}/{name}" names name; known: folder, path'),
        ('ref_id = "{folder"', 'ref_id: "{folder" has unequal braces; write {folder}/{path}'),
        (
            'ref_id = "{path:99}"',
            'ref_id: "{path:99}" formats what it names; write {folder} and {path} alone',
        ),
        ("min_confidence = 60", "min_confidence: 60 is not between 0.0 and 1.0"),
        ("min_confidence = nan", "min_confidence: nan is not between 0.0 and 1.0"),
        (
            'min_confidence = { human = "x" }',
            "min_confidence.human: is not a number; write one from 0.0 to 1.0, or a table of them",
        ),
        (
            "min_confidence = { image = { humna = 1 } }",
            "min_confidence.image.humna: unknown key; did you mean human?",
        ),
        (
            "min_confidence = { vidoe = 1 }",
            "min_confidence.vidoe: unknown key; did you mean video?",
        ),
        ("min_confidence = { humna = 1 }", "min_confidence.humna: unknown key; did you mean human?"),
        (
            "min_confidence = { zzz = 1 }",
            "min_confidence.zzz: unknown key; known here: human, artificial, image, video, audio",
        ),
        ('human = "."', 'human: "." is the folder itself or lies above it; its results would be its input'),
        ('human = ".."', 'human: ".." is the folder itself or lies above it; its results would be its input'),
        ('human = ""', "human: is empty; name a path"),
        ("uploads = 2", "uploads: unknown key here; it belongs to [api]"),
        ("xyz = 2", f"xyz: unknown key; known here: {', '.join(config.Folder.model_fields)}"),
        (
            "[folder.options]\nno_cache = true",
            "options.no_cache: is not for a folder, it would pay for every copy again; use the command rejudge",
        ),
        (
            '[folder.options]\nref_id = "x"',
            "options.ref_id: belongs to the folder itself; write it above [folder.options]",
        ),
        ('[folder.options]\naction = "move"', "options.action: unknown key here; it belongs to [[folder]]"),
        ("[folder.options]\nframes = 7", "options.frames: 7 is not known; known: 5, 10, 30"),
        (
            '[folder.options]\nkey_frames_method = "iframe"',
            'options.key_frames_method: "iframe" is not known; did you mean iframes?',
        ),
        (
            'media = ["image"]\n[folder.options]\nframes = 10',
            "options.frames: is for video only, which this folder's media leaves out",
        ),
        (
            '[folder.options]\nwebhook_url = "ftp://x"',
            "options.webhook_url: is not an address; it begins with https:// or http:// and names a host",
        ),
    ],
)
def test_a_mistake_in_a_folder(text: str, expected: str) -> None:
    """Each mistake is one line that begins with the folder's own name."""
    assert [f"folder.drop.{expected}"] == folder_problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("settle_seconds = 3", "settle_seconds: unknown key here; it belongs to [[folder]]"),
        ("with_nsfw = true", "with_nsfw: unknown key here; it belongs to [folder.options]"),
        (
            'api_key = "x"',
            "api_key: the key never stands in the configuration; name a file that holds it with api.key_file",
        ),
        ("api = 4", "api: 4 is not a table"),
        ("[api]\ngets_per_second = 1.5", "api.gets_per_second: 1.5 is not a whole number"),
        ("[api]\nupload_megabits_per_second = -1", "api.upload_megabits_per_second: -1 is below 0"),
        ("[api]\nbacklog_hours = 1", "api.backlog_hours: 1 is not text; put it in quotes"),
        (
            '[api]\nbacklog_hours = "1-6"',
            'api.backlog_hours: "1-6" is no part of a day; write it like 01:00-06:00',
        ),
        (
            '[api]\nbacklog_hours = "06:00-06:00"',
            'api.backlog_hours: "06:00-06:00" ends where it begins; "" is the whole day',
        ),
        ("[api]\nbacklog_share = 1.5", "api.backlog_share: 1.5 is above 1"),
        ("[api]\nanalysis_deadline_minutes = 0", "api.analysis_deadline_minutes: 0 is not above 0"),
        ("[limits]\nimage = 0", "limits.image: 0 is below 1"),
        (
            '[notify]\ncommand = ["", "x"]',
            "notify.command: begins with an empty word; name the program first",
        ),
        ('[notify]\non = ["artifical"]', 'notify.on.#1: "artifical" is not known; did you mean artificial?'),
        (
            '[web]\nlisten = "[::1:8451"',
            'web.listen: "[::1:8451" is not host:port; write it like 127.0.0.1:8451, or "" for off',
        ),
        (
            f'[web]\nlisten = "{"x" * 70}"',
            f'web.listen: "{"x" * 70}" is not host:port; write it like 127.0.0.1:8451, or "" for off',
        ),
        (
            '[ledger]\nurl = "mysql://u:secret@h/x"',
            (
                "ledger.url: is not a ledger that is known; write sqlite:////absolute/path/ledger.db, or "
                "postgresql+psycopg://user@host/database"
            ),
        ),
        (
            '[ledger]\nurl = "postgresql+psycopg://u:secret@h"',
            "ledger.url: names no database; write postgresql+psycopg://user@host/database",
        ),
        (
            '[ledger]\nurl = "postgresql+psycopg://u@h:port/x"',
            "ledger.url: is no address; write postgresql+psycopg://user@host/database",
        ),
        (
            '[ledger]\nurl = "postgresql+psycopg://u:secret@h/x"',
            (
                "ledger.url: holds a password, which never stands in the configuration; put it into a file that only the "
                "daemon may read, in the form of PostgreSQL's .pgpass, and write ?passfile=/path at the end, or set $PGPASSFILE"
            ),
        ),
        (
            '[ledger]\nurl = "postgresql+psycopg://u@h/x?password=secret"',
            (
                "ledger.url: holds a password, which never stands in the configuration; put it into a file that only the "
                "daemon may read, in the form of PostgreSQL's .pgpass, and write ?passfile=/path at the end, or set $PGPASSFILE"
            ),
        ),
        (
            '[ledger]\nurl = "sqlite:///:memory:"',
            "ledger.url: does not name a plain file; write sqlite:////absolute/path/ledger.db",
        ),
        (
            '[ledger]\nurl = "sqlite:////x?mode=ro"',
            "ledger.url: does not name a plain file; write sqlite:////absolute/path/ledger.db",
        ),
    ],
)
def test_a_mistake_elsewhere(text: str, expected: str) -> None:
    """Each mistake outside of the folders is one line that begins with its section."""
    assert [expected] == problems(f'{text}\n[[folder]]\npath = "/srv/drop"')


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "http://backend.identifai.net",
            "would send the key to backend.identifai.net in the clear; write https://",
        ),
        (
            "http://127.0.0.1.example.org",
            "would send the key to 127.0.0.1.example.org in the clear; write https://",
        ),
        ("backend.identifai.net", "is not an address; it is like https://backend.identifai.net"),
        ("https://", "is not an address; it is like https://backend.identifai.net"),
        ("https://h:99999", "is not an address; it is like https://backend.identifai.net"),
        ("https://[::1", "is not an address; it is like https://backend.identifai.net"),
        ("https://u:secret@h", "holds more than a host and a path; leave user, query and fragment away"),
        ("https://h/?key=secret", "holds more than a host and a path; leave user, query and fragment away"),
    ],
)
def test_the_key_travels_encrypted(url: str, expected: str) -> None:
    """An address that would show the key on the network, or holds more than an address, is refused."""
    assert [f"api.url: {expected}"] == problems(f'[api]\nurl = "{url}"\n[[folder]]\npath = "/srv/drop"')


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:80", "https://x.org/sub/"]
)
def test_loopback_needs_no_encryption(url: str) -> None:
    """A simulator on this machine may be spoken to in the clear; a slash at the end is dropped."""
    assert url.rstrip("/") == parse(f'[api]\nurl = "{url}"\n[[folder]]\npath = "/srv/drop"').api.url


@pytest.mark.parametrize(
    "text",
    [
        '[api]\nkey = "s3cret"\n',
        '[api]\nurl = "https://u:s3cret@h"\n',
        '[api]\ntokn = "s3cret"\n',
        '[notify]\nwebhook = "htps://h/s3cret"\n',
        '[notify]\nwebhook = ["https://h/s3cret"]\n',
        '[ledger]\nurl = "postgresql://u:s3cret@h/x"\n',
    ],
)
def test_problems_show_no_secret(text: str) -> None:
    """A line never repeats what may be a secret, nor does the error beneath it."""
    with pytest.raises(ConfigError) as caught:
        parse(f'{text}[[folder]]\npath = "/srv/drop"')
    assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_repr_shows_no_secret() -> None:
    """Addresses that may hold a secret are not in the repr of a configuration."""
    wanted = parse(
        '[api]\nproxy = "http://u:s3cret@p:3128/"\n[notify]\nwebhook = "https://h/s3cret"\n[[folder]]\npath = "/a"\n[folder.options]\nwebhook_url = "https://h/s3cret"'
    )
    assert "s3cret" not in repr(wanted)
    assert wanted.api.proxy == "http://u:s3cret@p:3128"
    assert wanted.notify.webhook == "https://h/s3cret"


_KEYS = st.sampled_from(
    sorted(
        {key for model in sections().values() for key in model.model_fields} | {"folder", "human", "image"}
    )
)
_VALUES = st.recursive(
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        ["/srv/drop", "~x/y", "https://[", "http://h:x", "{path", "move", "0664", "sqlite:///x"]
    )
    | st.dates(),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=3), below, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES), st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=3))
def test_nonsense_is_told_in_lines(document: dict[str, object], folders: list[dict[str, object]]) -> None:
    """Whatever TOML is written, it is a configuration or a list of problems, each a line with a name."""
    document["folder"] = [{"path": "/srv/drop"} | folder for folder in folders]
    for line in problems(config.dump(document)):
        assert re.fullmatch(r"\S.*: \S.*", line)


def test_no_path_without_surroundings() -> None:
    """A section is not made from a path without saying what the path is relative to."""
    with pytest.raises(TypeError, match="Surroundings"):
        config.Folder.model_validate({"path": "/srv/drop"})


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Relative paths start at the configuration file's directory, whatever the working directory is."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[api]\nkey_file = "key"\n[ledger]\nurl = "sqlite:///l.db"\n[[folder]]\npath = "../drop//x/"'
    )
    loaded = config.load(file)
    assert tmp_path / "key" == loaded.api.key_file
    assert f"sqlite:///{tmp_path}/l.db" == loaded.ledger.url
    assert tmp_path.parent / "drop" / "x" == loaded.folders[0].path
    assert loaded.folders[0].name == "x"
    assert os.fsencode(tmp_path.parent / "drop" / "x") == loaded.folders[0].root


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` in a path is the home, and two leading slashes are one."""
    monkeypatch.setenv("HOME", "/home/desk")
    assert Path("/home/desk/Drop") == folder(path="~/Drop").path
    assert str(folder(path="//srv/drop").path) == "/srv/drop"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}, "/var/lib/a/ledger.db"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/identifai-watch/ledger.db"),
        ({"HOME": "/h"}, "/h/.local/state/identifai-watch/ledger.db"),
    ],
)
def test_the_ledger_has_a_place(environ: dict[str, str], expected: str) -> None:
    """The ledger lies in systemd's state directory, else in the user's."""
    assert f"sqlite:///{expected}" == parse('[[folder]]\npath = "/a"', environ).ledger.url


def two(first: str, second: str) -> str:
    """Return a configuration of two folders, a and b."""
    return f'[[folder]]\nname = "a"\n{first}\n[[folder]]\nname = "b"\n{second}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            two('path = "/srv/a"', 'path = "/srv/a/"'),
            ["folder.b.path: /srv/a is the path of folder.a too; watch it once"],
        ),
        (
            two('path = "/srv/a/b"', 'path = "/srv/a"'),
            [
                (
                    "folder.a.path: /srv/a/b lies inside folder.b (/srv/a), which would judge its files too; "
                    "set recursive = false there, or move one of them"
                )
            ],
        ),
        (two('path = "/srv/a/b"', 'path = "/srv/a"\nrecursive = false'), []),
        (two('path = "/srv/a"', 'path = "/srv/ab"'), []),
        (
            two('path = "/srv/a"\naction = "move"\nhuman = "/srv/b/x"', 'path = "/srv/b"'),
            [
                (
                    "folder.a.human: /srv/b/x lies inside folder.b (/srv/b), which would judge the results again; "
                    "name a place outside of every folder"
                )
            ],
        ),
        (
            two('path = "/srv/a"\naction = "copy"\nrejected = "../b"', 'path = "/srv/b"\nrecursive = false'),
            [
                (
                    "folder.a.rejected: /srv/b lies inside folder.b (/srv/b), which would judge the results again; "
                    "name a place outside of every folder"
                )
            ],
        ),
        (
            two('path = "/x/a"\naction = "move"\nhuman = "/srv"', 'path = "/srv/b"'),
            [
                (
                    "folder.a.human: /srv lies above folder.b (/srv/b), so that results may land in it; "
                    "name a place outside of every folder"
                )
            ],
        ),
        (
            two('path = "/srv/a"\naction = "move"\nhuman = "/srv/b/x"', 'path = "/srv/b"\nrecursive = false'),
            [],
        ),
        (two('path = "/srv/a"\nhuman = "/srv/b/x"', 'path = "/srv/b"'), []),
        (
            two(
                'path = "/srv/a"\naction = "move"\nhuman = "/o"',
                'path = "/srv/b"\naction = "move"\nhuman = "/o"',
            ),
            [],
        ),
    ],
)
def test_folders_do_not_feed_each_other(text: str, expected: list[str]) -> None:
    """Two folders may not watch the same file, and the results of one may not be the input of another."""
    assert expected == problems(text)


def test_names_are_unique() -> None:
    """Folders of one name are refused, also when the name was taken from the path; they are told by number."""
    assert problems('[[folder]]\npath = "/a/drop"\n[[folder]]\npath = "/b/drop"') == [
        'folder.#2.name: "drop" is the name of folder.#1 too; give each folder a name of its own'
    ]
    assert problems(
        two('path = "/a"', 'path = "/b"').replace('"a"\n', '"x"\n').replace('"b"\n', '"x"\n')
    ) == ['folder.#2.name: "x" is the name of folder.#1 too; give each folder a name of its own']


def test_overlaps_are_told_beside_other_mistakes() -> None:
    """A mistake in one place does not keep the others from being told."""
    text = two('path = "/srv/a"', 'path = "/srv/a"')
    assert problems(f"[api]\nuploads = 0\n{text}") == [
        "api.uploads: 0 is below 1",
        "folder.b.path: /srv/a is the path of folder.a too; watch it once",
    ]


def test_a_destination_is_written_one_way() -> None:
    """A place inside the folder is relative to it however it was written, any other is absolute."""
    wanted = folder(
        'action = "move"\nhuman = "/srv/drop/ok/"\nartificial = "x/../ai"\nuncertain = "../later"'
    )
    assert wanted.destinations() == {
        Outcome.HUMAN: b"ok",
        Outcome.ARTIFICIAL: b"ai",
        Outcome.UNCERTAIN: b"/srv/later",
        Outcome.REJECTED: b"rejected",
        Outcome.UNCHECKED: b"unchecked",
    }
    assert wanted.own_places() == (b"ai", b"ok", b"rejected", b"unchecked")
    assert {Outcome.UNCERTAIN: Path("/srv/later")} == wanted.foreign_places()


@pytest.mark.parametrize("action", Action)
def test_only_results_are_kept_from_being_input(action: Action) -> None:
    """Where nothing is moved or copied, a directory named human is the user's own and is judged."""
    moves = action in {Action.MOVE, Action.COPY}
    assert moves is (folder(f'action = "{action}"').own_places() != ())


@pytest.mark.parametrize(
    ("written", "image", "video"),
    [
        ("0.5", (0.5, 0.5), (0.5, 0.5)),
        ("{ human = 0.6, artificial = 1 }", (0.6, 1.0), (0.6, 1.0)),
        ("{ artificial = 0.8 }", (0.0, 0.8), (0.0, 0.8)),
        ("{ image = { human = 0.6 }, video = 0.9 }", (0.6, 0.0), (0.9, 0.9)),
        ("{ image = 0.7 }", (0.7, 0.7), (0.0, 0.0)),
        ("{}", (0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_min_confidence_by_kind_and_label(
    written: str, image: tuple[float, float], video: tuple[float, float]
) -> None:
    """``min_confidence`` is one number, one for each label, or either of these for each kind."""
    table = folder(f"min_confidence = {written}").routing_rules().min_confidence
    assert dict(zip(Label, image, strict=True)) == table[Media.IMAGE]
    assert dict(zip(Label, video, strict=True)) == table[Media.VIDEO]


def test_the_core_gets_its_rules() -> None:
    """A folder's settings arrive in the core's policies as they were written."""
    wanted = folder(
        'media = ["audio", "audio"]\nmp4_as = "audio"\nmin_bytes = 9\nunsupported = "reject"\nsettle_seconds = 2.5\n'
        'action = "copy"\nkeep_tree = false\nc2pa_generated = "ignore"\nrescan_seconds = 0.5'
    )
    limits = config.Limits(audio=7).by_media()
    judged = wanted.media_policy(limits)
    assert (frozenset({Media.AUDIO}), Media.AUDIO, 9, True) == (
        judged.kinds,
        judged.mp4_as,
        judged.min_bytes,
        judged.reject_unsupported,
    )
    assert judged.limits == {Media.IMAGE: 50_000_000, Media.VIDEO: 5_000_000_000, Media.AUDIO: 7}
    settled = wanted.settle_policy(network=True)
    assert (settled.settle.total_seconds(), settled.network) == (2.5, True)
    assert wanted.rescan.total_seconds() == 0.5
    routed = wanted.routing_rules()
    assert (routed.action, routed.keep_tree, routed.c2pa_generated) == (Action.COPY, False, "ignore")


def test_modes_are_octal() -> None:
    """Modes are written as octal digits and held as numbers."""
    wanted = folder('file_mode = "640"\ndirectory_mode = "0750"')
    assert (wanted.file_mode, wanted.directory_mode) == (0o640, 0o750)
    assert stat.S_ISGID & folder().directory_mode


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        (Media.IMAGE, '{"prevent_c2pa_forces":true,"with_heatmap":true,"with_nsfw":true}'),
        (Media.VIDEO, '{"frames":10,"key_frames":false,"prevent_c2pa_forces":true,"with_nsfw":true}'),
        (Media.AUDIO, '{"prevent_c2pa_forces":true}'),
    ],
)
def test_canonical_options(media: Media, expected: str) -> None:
    """Only options of the kind that differ from the API's own key an analysis; the webhook never does."""
    wanted = folder(
        "[folder.options]\nwith_heatmap = true\nwith_nsfw = true\nframes = 10\nkey_frames = false\n"
        'key_frames_method = "iframes"\nwith_tampering = false\nwebhook_url = "https://h/x"'
    )
    assert expected == wanted.canonical_options(media)
    assert wanted.extra_fields(media, b"a.jpg") == {"webhook_url": "https://h/x"}


def test_form_options_are_spelt_as_the_api_does() -> None:
    """Booleans are sent as true and false, numbers as digits."""
    assert (
        config.form_options('{"frames":10,"key_frames":false,"key_frames_method":"flow","with_nsfw":true}')
    ) == {"frames": "10", "key_frames": "false", "with_nsfw": "true", "key_frames_method": "flow"}


_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        **{
            name: st.booleans()
            for name, value in option_config.API_DEFAULTS.items()
            if isinstance(value, bool) or name == "key_frames"
        },
        "frames": st.sampled_from([5, 10, 30]),
        "key_frames_method": st.sampled_from(["iframes", "flow", "color"]),
    },
)


@settings(deadline=None)
@given(_OPTIONS, st.sampled_from(Media))
def test_canonical_options_are_canonical(options: dict[str, object], media: Media) -> None:
    """Equal wishes have equal keys, whatever is said beside them; no key holds an API default or a foreign option."""
    wanted = config.Options.model_validate(options)
    sent = json.loads(wanted.canonical(media))
    assert all(value != option_config.API_DEFAULTS[name] for name, value in sent.items())
    assert all(media in option_config.KINDS[name] for name in sent)
    effective = {"prevent_c2pa_forces": True} | options
    assert sent == {
        name: value
        for name, value in effective.items()
        if media in option_config.KINDS[name] and value != option_config.API_DEFAULTS[name]
    }
    assert wanted.canonical(media) == config.Options.model_validate(
        dict(reversed(options.items()))
    ).canonical(media)


def test_every_option_has_its_kinds_and_its_default() -> None:
    """The tables of the options and the section of the file name the same options, and no_cache is none of them."""
    names = set(config.Options.model_fields)
    assert names == set(option_config.KINDS) == set(option_config.API_DEFAULTS)
    assert "no_cache" not in names


def test_ref_id_is_opt_in() -> None:
    """Without a template nothing of a file's name is sent; with one, bytes that are no UTF-8 are escaped."""
    assert folder().extra_fields(Media.IMAGE, b"a.jpg") == {}
    wanted = folder('ref_id = "{folder}/{path}"')
    assert wanted.extra_fields(Media.IMAGE, b"a/caf\xe9.jpg") == {"ref_id": "drop/a/caf\\xe9.jpg"}


def test_sections_offer_what_the_daemon_needs() -> None:
    """Addresses are split, durations are durations, folders are found by name."""
    wanted = parse(
        '[web]\nlisten = "[::1]:0"\n[api]\nanalysis_deadline_minutes = 0.5\n[[folder]]\npath = "/a"'
    )
    assert wanted.web.address == ("::1", 0)
    assert config.Web(listen="").address is None
    assert wanted.api.analysis_deadline.total_seconds() == 30
    assert wanted.folders[0] is wanted.folder_named("a")
    assert wanted.folder_named("b") is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """What is no text, or not there, is one problem with its path."""
    file = tmp_path / "c.toml"
    for arrange, words in (
        (lambda: None, "cannot be read: No such file or directory"),
        (lambda: file.write_bytes(b"# caf\xe9"), "is not UTF-8 from byte 5 on; save it as UTF-8"),
    ):
        arrange()
        with pytest.raises(ConfigError) as caught:
            config.load(file)
        assert (file, [words]) == (caught.value.path, caught.value.problems)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    """The error of a file that is wrong knows which one it is."""
    file = tmp_path / "c.toml"
    file.write_text("a = 1")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert file == caught.value.path


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors of Windows begin a file with a mark that says nothing."""
    file = tmp_path / "c.toml"
    file.write_text('\ufeff[[folder]]\npath = "/a"', encoding="utf-8")
    assert config.load(file).folders[0].name == "a"


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config wins, then the environment, the working directory, the user's, and the system's."""
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home"), "IDENTIFAI_WATCH_CONFIG": str(tmp_path / "named.toml")}
    home = tmp_path / "home" / ".config" / "identifai-watch" / "config.toml"
    home.parent.mkdir(parents=True)
    for file in (home, Path("identifai-watch.toml"), tmp_path / "named.toml", tmp_path / "explicit.toml"):
        file.touch()
    assert tmp_path / "explicit.toml" == config.find(tmp_path / "explicit.toml", environ)
    assert tmp_path / "named.toml" == config.find(None, environ)
    del environ["IDENTIFAI_WATCH_CONFIG"]
    assert Path("identifai-watch.toml") == config.find(None, environ)
    Path("identifai-watch.toml").unlink()
    assert home == config.find(None, environ)
    assert Path("/x/identifai-watch/config.toml") == config.places(environ | {"XDG_CONFIG_HOME": "/x"})[1]


def test_every_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no configuration, the error names all the places and how to make one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config.find(None, {"HOME": str(tmp_path)})
    for place in (
        "--config",
        "$IDENTIFAI_WATCH_CONFIG",
        "identifai-watch.toml",
        f"{tmp_path}/.config/identifai-watch/config.toml",
        "/etc/identifai-watch/config.toml",
        "identifai-watch init",
    ):
        assert place in str(caught.value)


@pytest.mark.parametrize("named", ["--config", "$IDENTIFAI_WATCH_CONFIG"])
def test_a_named_file_must_be_there(named: str, tmp_path: Path) -> None:
    """A configuration that is named and missing is an error, not a reason to take another."""
    missing = tmp_path / "x.toml"
    explicit, environ = (
        (missing, {}) if named == "--config" else (None, {"IDENTIFAI_WATCH_CONFIG": str(missing)})
    )
    with pytest.raises(ConfigError, match=re.escape(f"{named}: {missing} is not there")):
        config.find(explicit, environ)


def test_what_is_dumped_loads_again() -> None:
    """What init writes is what it was given."""
    document = {"api": {"uploads": 2}, "folder": [{"path": "/srv/dröp", "options": {"with_nsfw": True}}]}
    assert document == tomllib.loads(config.dump(document))
    assert parse(config.dump(document)).folders[0].options.with_nsfw


def test_brakes_are_bytes_a_second_and_hours_of_the_day() -> None:
    """Megabytes and megabits are those of a million; what is not named is no brake; a reload takes them."""
    plain = parse('[[folder]]\npath = "/a"')
    braked = parse(
        '[api]\nupload_megabits_per_second = 8\nbacklog_hours = "22:00-06:30"\n'
        '[[folder]]\npath = "/a"\nread_megabytes_per_second = 0.5'
    )
    assert (0, 0, None) == (plain.api.upload_rate, plain.folders[0].read_rate, plain.api.backlog_hours)
    assert (1_000_000, 500_000) == (braked.api.upload_rate, braked.folders[0].read_rate)
    assert "22:00-06:30" == str(braked.api.backlog_hours)
    assert [] == config.restart_needed(plain, braked)


def test_what_needs_a_restart(ca_file: Path) -> None:
    """A changed folder or limit is taken up by a reload; connections, threads, ledger and socket are not."""
    old = parse('[[folder]]\npath = "/a"')
    assert config.restart_needed(old, parse('[api]\nposts_per_minute = 1\n[[folder]]\npath = "/b"')) == []
    new = parse(
        f'[api]\nca_file = "{ca_file}"\nproxy = "http://p"\nurl = "https://x.org"\nuploads = 1\n[ledger]\nurl = "sqlite:////x"\n[node]\nname = "b"\n[web]\nlisten = ""\npreviews_megabytes = 1\n[[folder]]\npath = "/a"'
    )
    assert [f"{section}.{key}" for section, key in NEEDS_RESTART] == config.restart_needed(old, new)


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, and return the file that holds its certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("nowhere.pem", "nowhere.pem cannot be read: No such file or directory"),
        ("here", "here cannot be read: Is a directory"),
        ("empty.pem", "empty.pem holds no certificate; it is a file of them in PEM"),
    ],
)
def test_authorities_that_nobody_could_trust(written: str, words: str, tmp_path: Path) -> None:
    """A ca_file that cannot serve is told at once: with it no request would ever leave."""
    (tmp_path / "here").mkdir()
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigError) as caught:
        config.parse(f'[api]\nca_file = "{written}"\n[[folder]]\npath = "/a"', tmp_path)
    assert [f"api.ca_file: {tmp_path}/{words}"] == caught.value.problems


def test_authorities_are_a_file(ca_file: Path) -> None:
    """A ca_file is relative to the configuration; an empty one is none."""
    text = '[api]\nca_file = "{}"\n[[folder]]\npath = "/a"'
    assert ca_file == config.parse(text.format("ca.pem"), ca_file.parent).api.ca_file
    assert config.parse(text.format(""), ca_file.parent).api.ca_file is None


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://u:s3cret@p:1", "is not the address of a proxy; it is like http://proxy.example.org:3128"),
        ("u:s3cret@p:3128", "is not the address of a proxy; it is like http://proxy.example.org:3128"),
        ("http://u:s3cret@", "is not the address of a proxy; it is like http://proxy.example.org:3128"),
        ("http://u:s3cret@p:0", "is not the address of a proxy; it is like http://proxy.example.org:3128"),
        ("http://u:s3cret@p/x", "holds more than a host, a port, a user and a password; leave the rest away"),
        ("http://u@p/?s3cret", "holds more than a host, a port, a user and a password; leave the rest away"),
    ],
)
def test_a_proxy_that_is_none(proxy: str, words: str) -> None:
    """What is no proxy's address is refused without being repeated: it may hold a password."""
    assert [f"api.proxy: {words}"] == problems(f'[api]\nproxy = "{proxy}"\n[[folder]]\npath = "/a"')


def test_closed_sets_are_spelt_as_documented() -> None:
    """The words of the file are those of the design."""
    assert list(folder_config.Existing) == ["hold", "judge", "ignore"]
    assert list(folder_config.Unsupported) == ["leave", "reject"]
    assert list(folder_config.Events) == ["auto", "on", "off"]


def keyed(tmp_path: Path, content: bytes | None = None) -> config.Config:
    """Return a configuration whose key_file holds ``content``, or is missing."""
    file = tmp_path / "api-key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    return parse(f'[api]\nkey_file = "{file}"\n[[folder]]\npath = "/a"')


def test_the_key_comes_from_three_places(tmp_path: Path) -> None:
    """The environment wins over the systemd credential, and that over key_file."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api-key").write_text("second\n")
    wanted = keyed(tmp_path, b" third \r\n")
    environ = {"IDENTIFAI_API_KEY": "first", "CREDENTIALS_DIRECTORY": str(credentials)}
    found = config.read_key(wanted, environ)
    assert (found.value, found.source) == ("first", "$IDENTIFAI_API_KEY")
    environ["IDENTIFAI_API_KEY"] = " "
    found = config.read_key(wanted, environ)
    assert ("second", f"the systemd credential api-key ({credentials}/api-key)") == (
        found.value,
        found.source,
    )
    (credentials / "api-key").unlink()
    found = config.read_key(wanted, environ)
    assert ("third", f"api.key_file ({tmp_path}/api-key)") == (found.value, found.source)


def test_no_key_names_the_places(tmp_path: Path) -> None:
    """Without a key the three places are named, and the exit status is 77."""
    with pytest.raises(AccountError) as caught:
        config.read_key(keyed(tmp_path), {"CREDENTIALS_DIRECTORY": "/run/credentials/x"})
    for place in ("IDENTIFAI_API_KEY", "/run/credentials/x/api-key", f"{tmp_path}/api-key"):
        assert place in str(caught.value)
    assert caught.value.exit == Exit.ACCOUNT
    with pytest.raises(AccountError, match="not set"):
        config.read_key(parse('[api]\nkey_file = ""\n[[folder]]\npath = "/a"'), {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n", "is empty"),
        (b"k3y with words", "holds more than a key"),
        (b"k3y\nsecond", "holds more than a key"),
        ("k3yé".encode(), "holds more than a key"),
        (b"k3y\xff", "is not text"),
    ],
)
def test_what_is_no_key(content: bytes, words: str, tmp_path: Path) -> None:
    """What no header can carry is refused without being shown."""
    wanted = keyed(tmp_path, content)
    with pytest.raises(AccountError, match=words) as caught:
        config.read_key(wanted, {})
    told = f"{caught.value}{caught.value.__cause__}".replace(str(tmp_path), "")
    assert "k3y" not in told


def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A key that is there and cannot be read is told as such, not as missing."""
    (tmp_path / "api-key").mkdir()
    with pytest.raises(AccountError, match="cannot be read: Is a directory"):
        config.read_key(keyed(tmp_path), {})


@pytest.mark.parametrize(
    ("mode", "is_taken"),
    [
        (0o600, True),
        (0o400, True),
        (0o640, True),
        (0o604, False),
        (0o644, False),
        (0o602, False),
        (0o601, False),
    ],
)
def test_a_key_that_everybody_can_reach_is_refused(mode: int, tmp_path: Path, *, is_taken: bool) -> None:
    """A key file that is open to every user is not used, with the command that closes it; systemd's copy is."""
    wanted = keyed(tmp_path, b"s3cret")
    file = tmp_path / "api-key"
    file.chmod(mode)
    if is_taken:
        assert ("s3cret", mode) == ((key := config.read_key(wanted, {})).value, key.mode)
    else:
        with pytest.raises(AccountError, match=f"mode {mode:04o}.*chmod 600 {file}") as caught:
            config.read_key(wanted, {})
        assert "s3cret" not in str(caught.value)
    key = config.read_key(wanted, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert ("s3cret", None) == (key.value, key.mode)


def test_a_key_does_not_show_itself() -> None:
    """A key's value is in no repr and no text."""
    key = config.Key(value="s3cret", source="$X")
    assert "s3cret" not in f"{key!r}{key}"


def test_a_ledger_on_a_server() -> None:
    """It has an address instead of a file, over the network or a socket; the node is this host, or what the variable says."""
    for url in (
        "postgresql+psycopg://watch@db.example.org/ledger?passfile=/etc/pgpass",
        "postgresql+psycopg:///ledger?host=/run/postgresql",
    ):
        found = parse(f'[ledger]\nurl = "{url}"\n[[folder]]\npath = "/a"')
        assert (url, None, socket.gethostname()) == (found.ledger.url, found.ledger.path, found.node.name)
    named = config.parse('[[folder]]\npath = "/a"', Path("/"), ENVIRON | {"IDENTIFAI_WATCH_NODE": "harbour"})
    assert "harbour" == named.node.name
    assert "pier" == parse('[node]\nname = "pier"\n[[folder]]\npath = "/a"').node.name


def test_a_folder_that_hosts_share() -> None:
    """Its name is the share's, wherever it is mounted; another one is refused."""
    assert "wires" == parse('[[folder]]\npath = "/mnt/x"\nshared = "wires"').folders[0].name
    assert problems('[[folder]]\npath = "/mnt/x"\nshared = "wires"\nname = "x"') == [
        'folder.x.name: "x" is not the name "wires" under which hosts share it; leave one of them out'
    ]
