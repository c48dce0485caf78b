"""The daemon as a user who is nobody: no capability, no name, and most of what is dropped belongs to others."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.errors import Exit
from tests.console import at, status_of
from tests.field.seen import said
from tests.harness import KEY, MEDIA, House, house, wait_for
from tests.namespaces import STRANGER, as_stranger, own_mounts
from tests.test_crash import assert_all_is_well
from tests.watching import picture

ANOTHER = STRANGER + 1


@contextmanager
def strange_house(home: Path, **settings: Any) -> Iterator[tuple[House, dict[str, Any]]]:
    """Build a house whose drop folder and ledger belong to the stranger; lend it with how to be that user."""
    with house(home, **settings) as built, own_mounts():
        options = as_stranger(home)
        for place in (built.drop, home / "state"):
            place.mkdir(exist_ok=True)
            os.chown(place, STRANGER, STRANGER)
        yield built, options


def given(path: Path) -> Path:
    """Give a file to the stranger."""
    os.chown(path, STRANGER, STRANGER)
    return path


@pytest.mark.parametrize("action", ["sidecar", "move", "copy"])
def test_the_main_job(tmp_path: Path, action: str) -> None:
    """Image, video and audio, its own or root's, are judged once each and delivered, without a capability."""
    contents = {name: (MEDIA / name).read_bytes() for name in ("sample.png", "sample.mp4", "sample.mp3")}
    with strange_house(tmp_path, folder={"action": action}) as (home, options):
        with home.process(**options) as process:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            for name in contents:
                home.put(name)
            given(home.put("sample.png", "own.png", extra=b"own"))
            contents["own.png"] = (MEDIA / "sample.png").read_bytes() + b"own"
            wait_for(lambda: are_delivered(home, len(contents)), "all are delivered")
        assert_all_is_well(home, action, contents)
        made = list(home.drop.rglob("*.identifai.json"))
        assert {(STRANGER, STRANGER)} == {(path.stat().st_uid, path.stat().st_gid) for path in made}
    assert re.search(rf"^Uid:\t{STRANGER}\t{STRANGER}", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)


def are_delivered(home: House, number: int) -> bool:
    """Tell whether so many files are delivered, and none is left."""
    lines = home.lines()
    return len(lines) == number and all(line.file.delivered_at for line in lines)


def test_who_writes_to_a_file_of_others_cannot_be_told(tmp_path: Path) -> None:
    """Its own file waits until its writer is done; root's is judged after the settle time, for there is no CAP_LEASE."""
    with strange_house(tmp_path) as (home, options), home.process(**options):
        status_of(home, "drop", "ok", mode="events")
        roots, own = picture(home.drop / "roots.png"), given(picture(home.drop / "own.png"))
        with roots.open("ab"), own.open("ab"):
            home.sidecar(roots)
            assert ["roots.png"] == list(home.sidecars())
            assert 1 == len(home.simulator.state.charged)
        home.sidecar(own)
        assert 2 == len(home.simulator.state.charged)


def shut(home: House) -> Path:
    """Have a directory in the drop folder that only root may enter, and then a picture in it; return the picture."""
    place = home.drop / "a" / "shut"
    place.mkdir(parents=True, exist_ok=True)
    os.chown(place, 0, 0)
    place.chmod(0o700)
    return picture(place / "inside.png")


def test_a_sub_tree_that_may_not_be_read_is_named_and_the_rest_is_judged(tmp_path: Path) -> None:
    """EACCES on one directory stops nothing else, and nothing in it is gone; once it may be read, all is judged."""
    with strange_house(tmp_path) as (home, options):
        known = picture(home.drop / "a" / "shut" / "known.png")
        for place in (known.parent.parent, known.parent):
            os.chown(place, STRANGER, STRANGER)
        with home.process(**options):
            home.sidecar(known)
            wait_for(lambda: are_delivered(home, 1), "its delivery is over")
            late = shut(home)
            named = wait_for(lambda: said(home, "directory cannot be listed"), "it is named")
            home.sidecar(picture(home.drop / "first.png"))
            home.sidecar(picture(home.drop / "a" / "second.png"))
            wait_for(lambda: are_delivered(home, 3), "nothing is left or gone")
            os.chown(known.parent, STRANGER, STRANGER)
            home.sidecar(late)
            wait_for(lambda: are_delivered(home, 4), "all are delivered")
        assert 4 == len(home.simulator.state.charged)
    assert {("a/shut", "Permission denied")} == {(line["path"], line["reason"]) for line in named}


def test_status_names_a_sub_tree_that_may_not_be_read(tmp_path: Path) -> None:
    """Whoever looks at the folder is told what of it is not seen."""
    with strange_house(tmp_path) as (home, options):
        shut(home)
        with home.process(**options):
            wait_for(lambda: said(home, "directory cannot be listed"), "it is named in the log")
            home.sidecar(picture(home.drop / "a.png"))
            assert "a/shut" in str(json.loads(at(home, "status", "--json").out)["folders"])


def test_what_comes_while_a_sub_tree_may_not_be_read_is_no_archive(tmp_path: Path) -> None:
    """Where only scans look, a new file is news, though a directory keeps the archive from being known whole."""
    with strange_house(tmp_path, folder={"existing": "hold", "events": "off"}) as (home, options):
        shut(home)
        with home.process(**options):
            wait_for(lambda: said(home, "directory cannot be listed"), "the first scan is over")
            picture(home.drop / "new.png")
            (new,) = wait_for(home.lines, "it is found")
            assert not new.file.held
            home.sidecar(home.drop / "new.png")


def test_a_key_that_only_root_can_read(tmp_path: Path) -> None:
    """The daemon does not begin, with 77, and names the file, what is the matter, and nothing of the key."""
    key = tmp_path / "key"
    key.write_text(KEY, encoding="ascii")
    key.chmod(0o600)
    with strange_house(tmp_path, api={"key_file": str(key)}) as (home, options):
        options["environ"]["IDENTIFAI_API_KEY"] = ""
        ran, checked = (home.command(verb, **options) for verb in ("run", "check"))
    assert Exit.ACCOUNT == ran.returncode
    assert f"api.key_file ({key}) cannot be read: Permission denied" in ran.stderr
    assert Exit.PROBLEMS == checked.returncode
    assert f"api.key_file ({key}) cannot be read: Permission denied" in checked.stdout
    assert KEY not in ran.stderr + checked.stdout + checked.stderr


def test_what_others_are_told(tmp_path: Path) -> None:
    """The service's group may look while the daemon runs; whoever may not is told as whom to ask, and nothing of repair."""
    with strange_house(tmp_path) as (home, options):
        (tmp_path / "state").chmod(0o750)
        other = as_stranger(tmp_path, ANOTHER)
        colleague = other | {"extra_groups": [STRANGER]}
        with home.process(**options):
            home.sidecar(picture(home.drop / "a.png"))
            looked = home.command("status", "--json", **colleague)
            refused = [home.command("status", **other)]
            checked = home.command("check", **other)
        refused += [home.command("list", **colleague)]
        ledger = tmp_path / "state" / "ledger.db"

    assert 1 == json.loads(looked.stdout)["files"]["delivered"]
    whoever = f"identifai-watch: ledger.url: {ledger} cannot be used by user {ANOTHER} "
    remedy = "; run this as the service's user"
    for done in refused:
        assert (Exit.CONFIG, "") == (done.returncode, done.stdout)
        assert done.stderr.startswith(whoever)
        assert done.stderr.strip().endswith(remedy)
    assert Exit.PROBLEMS == checked.returncode
    assert re.search(
        r"^error +folder drop: .* cannot be written by user \d+: Permission denied$",
        checked.stdout,
        re.MULTILINE,
    )
    assert "Run this as the service's user" in checked.stdout
