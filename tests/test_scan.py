"""The scan names what differs from what is remembered, and only that."""

import os
import shutil
import socket
import tempfile
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch.core.model import GONE, Fingerprint, Remembered
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.rules import Rules
from identifai_watch.folder.scan import (
    Back,
    Changed,
    Finding,
    Missing,
    New,
    Summary,
    Unlisted,
    scan,
)


@dataclass
class Notebook:
    """Remembers a folder as the ledger does: by path, with two misses until something is gone."""

    files: dict[bytes, Remembered] = field(default_factory=dict)

    def directory(self, parent: bytes, most: int) -> dict[bytes, Remembered] | None:
        """Give all of ``parent``, unless that is more than ``most``."""
        found = {
            path.rpartition(b"/")[2]: remembered
            for path, remembered in self.files.items()
            if path.rpartition(b"/")[0] == parent
        }
        return found if len(found) <= most else None

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Remembered]:
        """Give those of ``names`` that are remembered."""
        assert 0 < len(names) <= 500
        paths = {name: parent + b"/" + name if parent else name for name in names}
        return {name: self.files[path] for name, path in paths.items() if path in self.files}

    def rows(self, parent: bytes) -> Iterable[list[Remembered]]:
        """Give all of ``parent``, a name to a page."""
        for path, remembered in self.files.items():
            if path.rpartition(b"/")[0] == parent:
                yield [remembered]

    def names(self, parent: bytes) -> Iterable[bytes]:
        """Give what should be there."""
        return [path.rpartition(b"/")[2] for path in self.present() if path.rpartition(b"/")[0] == parent]

    def parents(self) -> Iterable[bytes]:
        """Give where something should be."""
        return {path.rpartition(b"/")[0] for path in self.present()}

    def present(self) -> dict[bytes, Remembered]:
        """Give what should be there, by path."""
        return {path: remembered for path, remembered in self.files.items() if remembered[-1] != GONE}

    def learn(self, findings: list[Finding]) -> None:
        """Write down what a scan found."""
        for finding in findings:
            match finding:
                case New(path=path, fingerprint=found) | Changed(path=path, fingerprint=found):
                    self.files[path] = as_remembered(path, found)
                case Back(path=path):
                    self.mark(path, 0)
                case Missing(path=path):
                    self.mark(path, GONE if self.files[path][-1] else 1)
                case Unlisted() | Summary():
                    pass

    def mark(self, path: bytes, mark: int) -> None:
        """Put another mark on what is remembered of a path."""
        self.files[path] = (*self.files[path][:-1], mark)


def as_remembered(path: bytes, found: Fingerprint, mark: int = 0) -> Remembered:
    """Return what the ledger remembers of the file ``path`` with this fingerprint."""
    return path.rpartition(b"/")[2], found.size, found.mtime_ns, found.ctime_ns, found.inode, mark


@dataclass
class Folder:
    """A folder on the disk and what is remembered of it."""

    path: Path
    notebook: Notebook = field(default_factory=Notebook)
    rules: Rules = field(default_factory=Rules)
    hold: int = 10_000

    def write(self, *names: str, content: bytes = b"x") -> None:
        """Write these files."""
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(content)

    def scan(self, subtree: bytes = b"") -> list[Finding]:
        """Scan, learn, and give what was found, sorted."""
        root = os.fsencode(self.path)
        chunks = list(scan(root, self.notebook, self.rules, subtree=subtree, network=False, hold=self.hold))
        assert all(0 < len(chunk) <= 500 for chunk in chunks)
        findings = [finding for chunk in chunks for finding in chunk]
        self.notebook.learn(findings)
        assert isinstance(findings[-1], Summary)
        return sorted(
            findings[:-1], key=lambda finding: (type(finding).__name__, getattr(finding, "path", b""))
        )

    def paths(self, subtree: bytes = b"") -> list[tuple[str, bytes]]:
        """Scan, and give what was found by kind and path."""
        return [
            (type(finding).__name__, finding.path)
            for finding in self.scan(subtree)
            if not isinstance(finding, Summary)
        ]


@pytest.fixture(params=[10_000, 1, 0], ids=["held as a whole", "in part", "chunk by chunk"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    """An empty folder of which nothing is remembered, whatever of a directory the scan holds at once."""
    (tmp_path / "drop").mkdir()
    return Folder(tmp_path / "drop", hold=request.param)


def test_what_is_there_is_new_once(folder: Folder) -> None:
    """The second scan of an unchanged tree finds nothing at all."""
    folder.write("a.jpg", "b/c.jpg", "b/d/e.jpg")
    expected = fingerprint((folder.path / "a.jpg").stat(), network=False)
    assert New(path=b"a.jpg", fingerprint=expected) == folder.scan()[0]
    assert len(folder.notebook.files) == 3
    assert folder.scan() == []


def test_a_changed_file_is_named(folder: Folder) -> None:
    """Another size, another time, another inode: any of them."""
    folder.write("a.jpg", "b.jpg", "c.jpg")
    folder.scan()
    folder.write("a.jpg", content=b"longer")
    os.utime(folder.path / "b.jpg", ns=(1, 1))
    (folder.path / "new").write_bytes(b"x")
    (folder.path / "new").rename(folder.path / "c.jpg")
    assert [("Changed", b"a.jpg"), ("Changed", b"b.jpg"), ("Changed", b"c.jpg")] == folder.paths()
    assert folder.scan() == []


def test_a_missing_file_is_named_until_it_is_gone(folder: Folder) -> None:
    """Twice, which is when the ledger calls it gone; then no more."""
    folder.write("a.jpg", "b/c.jpg", "b/d.jpg")
    folder.scan()
    (folder.path / "b" / "c.jpg").unlink()
    assert [("Missing", b"b/c.jpg")] == folder.paths()
    assert [("Missing", b"b/c.jpg")] == folder.paths()
    assert folder.scan() == []


def test_a_file_that_is_back_is_named(folder: Folder) -> None:
    """Unchanged it is back, changed it is changed; after one miss as after two."""
    folder.write("a.jpg", "b.jpg")
    folder.scan()
    for misses in (1, 2):
        (folder.path / "a.jpg").rename(folder.path.parent / "away.jpg")
        for _ in range(misses):
            assert [("Missing", b"a.jpg")] == folder.paths()
        (folder.path.parent / "away.jpg").rename(folder.path / "a.jpg")
        assert folder.paths() in (
            [("Back", b"a.jpg")],
            [("Changed", b"a.jpg")],
        )  # a rename changes ctime here
        assert folder.scan() == []


def test_back_means_unchanged(folder: Folder) -> None:
    """A mount that was away: the same fingerprint, known as missing."""
    folder.write("a.jpg")
    folder.scan()
    folder.notebook.mark(b"a.jpg", 1)
    assert [("Back", b"a.jpg")] == folder.paths()


def test_a_directory_that_is_gone_takes_its_files_along(folder: Folder) -> None:
    """At any depth; the directory itself is not looked for in vain for ever."""
    folder.write("a.jpg", "b/c.jpg", "b/d/e.jpg", "f/g.jpg")
    folder.scan()
    shutil.rmtree(folder.path / "b")
    assert [("Missing", b"b/c.jpg"), ("Missing", b"b/d/e.jpg")] == folder.paths()
    folder.scan()
    assert folder.scan() == []


def test_a_renamed_directory_is_missing_and_new(folder: Folder) -> None:
    """That its files are the same is for the digest to say."""
    folder.write("b/c.jpg")
    folder.scan()
    (folder.path / "b").rename(folder.path / "x")
    assert [("Missing", b"b/c.jpg"), ("New", b"x/c.jpg")] == folder.paths()


def test_a_directory_swapped_for_a_link_is_gone(folder: Folder) -> None:
    """What lies behind a link is not in the folder, whatever it is."""
    folder.write("b/c.jpg", "b/d/e.jpg")
    folder.scan()
    (folder.path / "b").rename(folder.path.parent / "outside")
    (folder.path / "b").symlink_to(folder.path.parent / "outside")
    assert [("Missing", b"b/c.jpg"), ("Missing", b"b/d/e.jpg")] == folder.paths()


def test_links_fifos_and_sockets_are_not_files(folder: Folder) -> None:
    """A link to the folder itself included."""
    folder.write("a.jpg")
    (folder.path / "link.jpg").symlink_to(folder.path / "a.jpg")
    (folder.path / "loop").symlink_to(folder.path)
    os.mkfifo(folder.path / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder.path / "socket.jpg"))
        assert [("New", b"a.jpg")] == folder.paths()


def test_a_file_that_became_a_directory_is_missing(folder: Folder) -> None:
    """And what is in it is new."""
    folder.write("a.jpg")
    folder.scan()
    (folder.path / "a.jpg").unlink()
    folder.write("a.jpg/b.jpg")
    assert [("Missing", b"a.jpg"), ("New", b"a.jpg/b.jpg")] == folder.paths()


def test_the_rules_hold(folder: Folder) -> None:
    """Junk, half-written files, own output, destinations and globs are not named, nor is what is below them."""
    folder.rules = Rules(exclude=("drafts/",), destinations=(b"human",))
    folder.write(
        "a.jpg", "human/b.jpg", "drafts/c.jpg", ".hidden/d.jpg", "e.part", "a.jpg.identifai.json", "Thumbs.db"
    )
    folder.write("@eaDir/f.jpg", "deep/human/g.jpg")
    assert [("New", b"a.jpg"), ("New", b"deep/human/g.jpg")] == folder.paths()


def test_a_file_that_is_excluded_later_is_not_missing(folder: Folder) -> None:
    """It is there; that nobody wants it now is another matter."""
    folder.write("a.png", "b.jpg", "c/d.jpg")
    folder.scan()
    folder.rules = Rules(exclude=("*.png", "c/"))
    assert folder.scan() == []


def test_a_folder_that_is_not_recursive_has_one_directory(folder: Folder) -> None:
    """Sub-directories are not listed."""
    folder.rules = Rules(recursive=False)
    folder.write("a.jpg", "b/c.jpg")
    assert [("New", b"a.jpg")] == folder.paths()


def test_ignore_files_are_honoured(folder: Folder) -> None:
    """An empty one keeps its subtree, globs keep what they match at any depth below, and none is a file itself."""
    folder.write(
        "a.jpg",
        "kept/b.jpg",
        "kept/deep/c.jpg",
        "some/d.png",
        "some/e.jpg",
        "some/deep/f.png",
        "some/x/g.jpg",
    )
    (folder.path / "kept" / ".identifai-ignore").touch()
    (folder.path / "some" / ".identifai-ignore").write_text("*.png\nx/\n")
    assert [("New", b"a.jpg"), ("New", b"some/e.jpg")] == folder.paths()
    assert folder.paths(b"some/deep") == []
    assert folder.paths(b"some/x") == []
    assert folder.paths(b"kept/deep") == []


def test_a_subtree_is_scanned_alone(folder: Folder) -> None:
    """What an event named is compared, and nothing else is called missing."""
    folder.write("a.jpg", "b/c.jpg", "b/d/e.jpg")
    assert [("New", b"b/c.jpg"), ("New", b"b/d/e.jpg")] == folder.paths(b"b")
    folder.scan()
    (folder.path / "a.jpg").unlink()
    (folder.path / "b" / "c.jpg").unlink()
    assert [("Missing", b"b/c.jpg")] == folder.paths(b"b")


def test_a_subtree_that_the_rules_leave_out_is_not_scanned(folder: Folder) -> None:
    """An event in a dot-directory asks for nothing."""
    folder.write(".hidden/a.jpg")
    assert folder.paths(b".hidden") == []


def test_a_subtree_that_is_gone_again_is_nothing(folder: Folder) -> None:
    """The directory of an event may not live long."""
    assert folder.paths(b"none") == []


def test_a_root_that_is_not_there_makes_nothing_missing(folder: Folder) -> None:
    """A mount that vanished is not a folder that was emptied."""
    folder.write("a.jpg", "b/c.jpg")
    folder.scan()
    folder.path.rename(folder.path.parent / "away")
    assert [("Unlisted", b"")] == folder.paths()


def test_a_directory_that_cannot_be_listed_hides_nothing_else(folder: Folder) -> None:
    """EACCES on one sub-tree never ends the scan, and nothing under it is missing."""
    folder.write("a.jpg", "b/c.jpg", "b/d/e.jpg", "z.jpg")
    folder.scan()
    folder.write("new.jpg")
    (folder.path / "b").chmod(0)
    try:
        is_root = os.access(folder.path / "b", os.R_OK)  # who may list all: let go of that for the scan
        found = _without_root(folder) if is_root else folder.paths()
    finally:
        (folder.path / "b").chmod(0o755)
    assert [("New", b"new.jpg"), ("Unlisted", b"b")] == found


def _without_root(folder: Folder) -> list[tuple[str, bytes]]:
    """Scan as nobody, who owns the folder meanwhile but for the directory ``b``."""
    shared = Path(tempfile.gettempdir())
    for parent in (folder.path, *folder.path.parents):
        if not parent.is_relative_to(shared) or parent == shared:
            break
        parent.chmod(0o755)
    os.seteuid(65534)
    try:
        return folder.paths()
    finally:
        os.seteuid(0)


def test_many_files_come_in_chunks(folder: Folder) -> None:
    """At most 500 at a time, from one directory as from many."""
    for number in range(1201):
        folder.write(f"{number % 3}/{number}.jpg")
    root = os.fsencode(folder.path)
    sizes = [len(chunk) for chunk in scan(root, folder.notebook, folder.rules, network=False)]
    assert [500, 500, 202] == sizes


def test_the_summary_counts(folder: Folder) -> None:
    """Files that the rules let pass, directories that were listed, those that were not."""
    folder.write("a.jpg", "b/c.jpg", "b/d/e.jpg", "b/Thumbs.db")
    chunks = list(scan(os.fsencode(folder.path), folder.notebook, folder.rules, network=False))
    assert Summary(files=3, directories=3, unlisted=0) == chunks[-1][-1]


def test_a_scan_that_is_stopped_has_no_summary(folder: Folder) -> None:
    """And calls nothing missing on the way out."""
    folder.write("a.jpg", "b/c.jpg", "b/d.jpg")
    folder.scan()
    shutil.rmtree(folder.path / "b")
    (folder.path / "a.jpg").unlink()
    chunks = list(
        scan(os.fsencode(folder.path), folder.notebook, folder.rules, network=False, stop=lambda: True)
    )
    assert not any(isinstance(finding, Summary) for chunk in chunks for finding in chunk)


def test_names_are_bytes(folder: Folder) -> None:
    """No name is skipped, none is normalised."""
    names = [b"caf\xe9.jpg", "é.jpg".encode(), "e\u0301.jpg".encode(), b"two\nlines.jpg", b"-rf.jpg"]
    for name in names:
        with open(os.fsencode(folder.path) + b"/" + name, "wb"):  # noqa: PTH123  (the name is no text)
            pass
    assert sorted(("New", name) for name in names) == folder.paths()


def test_on_the_network_the_inode_is_of_no_matter(folder: Folder) -> None:
    """The same file after a remount is the same file."""
    folder.write("a.jpg")
    expected = fingerprint((folder.path / "a.jpg").stat(), network=True)
    found = next(scan(os.fsencode(folder.path), folder.notebook, folder.rules, network=True))
    assert New(path=b"a.jpg", fingerprint=expected) == found[0]


def test_times_within_the_granularity_are_no_change(folder: Folder) -> None:
    """On a cluster whose nodes tell different times of one file, it is left alone; its size is always exact."""
    folder.write("a.jpg", "b.jpg")
    folder.scan()
    root, far, near = os.fsencode(folder.path), timedelta(seconds=60), timedelta(seconds=1)
    for path in folder.path.iterdir():
        later = path.stat().st_mtime_ns + 2_000_000_000
        os.utime(path, ns=(later, later))

    def changed(within: timedelta) -> list[bytes]:
        chunks = scan(root, folder.notebook, folder.rules, network=False, within=within)
        return sorted(found.path for chunk in chunks for found in chunk if isinstance(found, Changed))

    assert [b"a.jpg", b"b.jpg"] == changed(near)
    assert [] == changed(far)
    folder.write("b.jpg", content=b"more")
    assert [b"b.jpg"] == changed(far)


@dataclass
class Mirror:
    """Remembers each file as it is, without holding any."""

    path: Path

    def directory(self, _parent: bytes, _most: int) -> None:
        """Have it asked for chunk by chunk."""

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Remembered]:
        """Give all of them, as they are on the disk."""
        directory = self.path / os.fsdecode(parent)
        stats = {name: (directory / os.fsdecode(name)).stat() for name in names}
        return {name: as_remembered(name, fingerprint(found, network=False)) for name, found in stats.items()}

    def rows(self, parent: bytes) -> Iterable[list[Remembered]]:
        """Give all of them, as they are on the disk."""
        for path in (self.path / os.fsdecode(parent)).iterdir():
            yield [as_remembered(os.fsencode(path.name), fingerprint(path.stat(), network=False))]

    def names(self, parent: bytes) -> Iterable[bytes]:
        """Give none: a scan that finds nothing never asks."""
        raise AssertionError(parent)

    def parents(self) -> Iterable[bytes]:
        """Give none."""
        return ()


def test_memory_does_not_grow_with_the_directory(folder: Folder) -> None:
    """A thousand files or eight thousand in one directory: a scan that finds nothing keeps nothing."""

    def peak() -> int:
        tracemalloc.start()
        try:
            assert [1] == [
                len(chunk)
                for chunk in scan(os.fsencode(folder.path), Mirror(folder.path), folder.rules, network=False)
            ]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for number in range(1000):
        folder.write(f"{number}.jpg")
    few = min(peak() for _ in range(3))  # other threads of this process may allocate meanwhile
    for number in range(1000, 8000):
        folder.write(f"{number}.jpg")
    assert min(peak() for _ in range(3)) < few + 200_000


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "unlink", "rmtree", "scan", "rename"]),
        st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f/a"]),
        st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f/a"]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([0, 1, 10_000]))
def test_whatever_happens_two_scans_know_the_tree(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]], hold: int
) -> None:
    """After any history what is remembered as present is what is there, with its fingerprints."""
    folder = Folder(tmp_path_factory.mktemp("drop"), hold=hold)
    for number, (step, first, second) in enumerate(steps):
        target = folder.path / first
        if step == "write" and not target.is_dir() and not any(parent.is_file() for parent in target.parents):
            folder.write(first, content=b"x" * number)
        elif step == "unlink":
            target.unlink(missing_ok=True)
        elif step == "rmtree" and first.count("/"):
            shutil.rmtree(target.parent, ignore_errors=True)
        elif step == "rename" and target.is_file() and (folder.path / second).parent.is_dir():
            target.rename(folder.path / second)
        elif step == "scan":
            folder.scan()
    folder.scan()
    folder.scan()
    there = {
        os.fsencode(path.relative_to(folder.path)): as_remembered(
            os.fsencode(path.name), fingerprint(path.stat(), network=False)
        )
        for path in folder.path.rglob("*")
        if path.is_file()
    }
    assert there == folder.notebook.present()
    assert folder.scan() == []
