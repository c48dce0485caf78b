"""Which names are not looked at, and that each answer names its rule."""

import os
from pathlib import Path

import pytest

from identifai_watch.folder import rules as tables
from identifai_watch.folder.ignores import NAME, Ignores, ignored
from identifai_watch.folder.rules import Rules, why_not_directory, why_not_file

PLAIN = Rules()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"Thumbs.db", "junk: Thumbs.db"),
        (b"a/THUMBS.DB", "junk: Thumbs.db"),
        (b"desktop.ini", "junk: desktop.ini"),
        (b"Icon\r", "junk: Icon"),
        (b"~$report.mp4", "junk: ~$*"),
        (b"photo.jpg~", "junk: *~"),
        (b".DS_Store", "its name begins with a dot"),
        (b"._photo.jpg", "its name begins with a dot"),
        (b".nfs0001", "its name begins with a dot"),
        (b".photo.jpg.Xy12Zq", "its name begins with a dot"),
        (b"a.mp4.part", "still being written: *.part"),
        (b"a.mp4.PARTIAL", "still being written: *.partial"),
        (b"a.tmp", "still being written: *.tmp"),
        (b"a.crdownload", "still being written: *.crdownload"),
        (b"a.!ut", "still being written: *.!ut"),
        (b"a.mp4.aria2", "still being written: *.aria2"),
        (b"a.mp4.ocTransferId123", "still being written: *.ocTransferId*"),
        (b"a.jpg.identifai.json", "written by identifai-watch itself"),
        (b"a.jpg.identifai-2.json", "written by identifai-watch itself"),
        (b"a.jpg.identifai.heatmap.png", "written by identifai-watch itself"),
        (b".identifai-Ab12", "written by identifai-watch itself"),
        (b"@eaDir/a.jpg", "junk: @eaDir"),
        (b"x/#recycle/a.jpg", "junk: #recycle"),
        (b"lib.photoslibrary/a.jpg", "junk: *.photoslibrary"),
        (b".stversions/a.jpg", "a directory whose name begins with a dot: .stversions"),
        (b"a/.thumbnails/b/c.jpg", "a directory whose name begins with a dot: .thumbnails"),
    ],
)
def test_junk_half_written_and_own_files_are_named_by_their_rule(path: bytes, reason: str) -> None:
    """By the rule that a person can look up."""
    assert reason == why_not_file(path, PLAIN)


@pytest.mark.parametrize(
    "path",
    [
        b"photo.jpg",
        b"a/b/photo.jpg",
        b"thumbs.dbx",
        b"part",
        b"a.party",
        b"caf\xe9.jpg",
        b"two\nlines.jpg",
        b"identifai.json",
        b"my.identifai.jpg",
        b"a~b.jpg",
    ],
)
def test_other_names_are_looked_at(path: bytes) -> None:
    """What only looks like junk is none, and any bytes may be a name."""
    assert why_not_file(path, PLAIN) is None


@pytest.mark.parametrize("pattern", [*tables._JUNK_FILES, *tables._UNFINISHED])
def test_every_row_of_the_tables_is_asked(pattern: str) -> None:
    """The quick look that goes before the tables lets none of their names pass."""
    assert why_not_file(os.fsencode(pattern.replace("*", "x")), PLAIN) is not None
    assert why_not_file(os.fsencode(pattern.replace("*", "caf\udce9.jpg").upper()), PLAIN) is not None


def test_exclude_is_as_in_gitignore() -> None:
    """The last matching glob decides, a directory takes what is below it along."""
    rules = Rules(exclude=("*.png", "drafts/", "/top.jpg", "!keep.png"))
    assert why_not_file(b"a/b.png", rules) == "exclude: *.png"
    assert why_not_file(b"a/drafts/b.jpg", rules) == "exclude: drafts/"
    assert why_not_file(b"top.jpg", rules) == "exclude: /top.jpg"
    assert why_not_file(b"a/top.jpg", rules) is None
    assert why_not_file(b"a/keep.png", rules) is None


def test_include_lets_nothing_else_pass() -> None:
    """No include is all; else one must match, and exclude goes first."""
    rules = Rules(include=("*.jpg", "press/**"), exclude=("press/old/",))
    assert why_not_file(b"a/b.jpg", rules) is None
    assert why_not_file(b"press/b.png", rules) is None
    assert why_not_file(b"b.png", rules) == "not in include: *.jpg, press/**"
    assert why_not_file(b"press/old/b.jpg", rules) == "exclude: press/old/"
    assert why_not_directory(b"anything", rules) is None


def test_globs_match_names_that_are_no_utf8() -> None:
    """A name is bytes, and a glob on its extension still finds it."""
    assert why_not_file(b"caf\xe9.png", Rules(exclude=("*.png",))) == "exclude: *.png"
    assert why_not_file(b"caf\xe9.png", Rules(include=("*.png",))) is None


def test_own_destinations_are_not_looked_at() -> None:
    """What is moved to human/ must not come back."""
    rules = Rules(destinations=(b"human", b"out/bad"))
    assert why_not_file(b"human/a.jpg", rules) == "this folder's own destination: human"
    assert why_not_directory(b"out/bad/x", rules) == "this folder's own destination: out/bad"
    assert why_not_file(b"out/a.jpg", rules) is None
    assert why_not_file(b"a/human/a.jpg", rules) is None


def test_a_folder_that_is_not_recursive_has_no_subdirectories() -> None:
    """Only what lies in the root itself is looked at."""
    rules = Rules(recursive=False)
    assert why_not_file(b"a.jpg", rules) is None
    assert why_not_file(b"a/a.jpg", rules) == "the folder is not recursive"


def test_the_root_is_always_looked_at() -> None:
    """No rule speaks of the folder itself."""
    assert why_not_directory(b"", Rules(recursive=False, exclude=("*",))) is None


def test_an_empty_ignore_file_keeps_its_whole_subtree(tmp_path: Path) -> None:
    """Whoever owns a directory keeps it from being sent by one empty file."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".identifai-ignore").touch()
    root = os.fsencode(tmp_path)
    assert ignored(root, b"a/x.jpg") == ".identifai-ignore in a: all of it"
    assert ignored(root, b"a/b/x.jpg") == ".identifai-ignore in a: all of it"
    assert ignored(root, b"x.jpg") is None


def test_an_ignore_file_has_globs_relative_to_its_directory(tmp_path: Path) -> None:
    """As in .gitignore: anchored, directories, negated, comments."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".identifai-ignore").write_text("# private\n/x.jpg\nb/\n*.png\n!ok.png\n")
    root = os.fsencode(tmp_path)
    assert ignored(root, b"a/x.jpg") == ".identifai-ignore in a: /x.jpg"
    assert ignored(root, b"a/c/x.jpg") is None
    assert ignored(root, b"a/b/y.jpg") == ".identifai-ignore in a: b/"
    assert ignored(root, b"a/y.png") == ".identifai-ignore in a: *.png"
    assert ignored(root, b"a/ok.png") is None
    assert ignored(root, b"x.png") is None


def test_an_ignore_file_in_the_root_holds_for_the_folder(tmp_path: Path) -> None:
    """The root is a directory like any other."""
    (tmp_path / ".identifai-ignore").write_text("*.gif\n")
    assert ignored(os.fsencode(tmp_path), b"a/x.gif") == ".identifai-ignore in the folder: *.gif"


def test_an_ignore_file_that_cannot_be_read_keeps_all(tmp_path: Path) -> None:
    """It is a link here: what it holds is not known, but somebody wanted something kept."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".identifai-ignore").symlink_to("/etc/hostname")
    assert ignored(os.fsencode(tmp_path), b"a/x.jpg") == ".identifai-ignore in a: all of it"


def test_a_link_on_the_way_leads_nowhere(tmp_path: Path) -> None:
    """No ignore file outside the folder is asked."""
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / ".identifai-ignore").touch()
    (root / "link").symlink_to(outside)
    assert ignored(os.fsencode(root), b"link/x.jpg") is None


def test_the_ignore_files_of_many_files_are_read_once(tmp_path: Path) -> None:
    """One after another they say of each file what they say of it alone; who looks anew reads anew."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / NAME.decode()).write_text("*.jpg\n")
    root = os.fsencode(tmp_path)
    paths = [b"x.jpg", b"a/x.jpg", b"a/x.png", b"a/b/x.jpg", b"none/x.jpg", b"a/y.jpg"]
    ignores = Ignores(root)
    said = [ignores.why_not(path) for path in paths]
    assert [ignored(root, path) for path in paths] == said
    assert [False, True, False, True, False, True] == [reason is not None for reason in said]
    (tmp_path / "a" / NAME.decode()).unlink()
    assert said == [ignores.why_not(path) for path in paths]
    assert [None] * len(paths) == [Ignores(root).why_not(path) for path in paths]
