"""What is mounted where, read from the text of mountinfo."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import mounts
from identifai_watch.core.mounts import Mount

TEXT = r"""22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
25 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
40 22 0:35 / /srv/nas rw,relatime shared:20 - nfs4 nas.local:/export/press rw,vers=4.2
41 40 0:36 / /srv/nas/win rw,relatime - cifs //win/Presse\040Fotos rw
50 22 0:40 /@home /home rw shared:9 master:2 - btrfs /dev/sdb1 rw,subvol=/@home
60 22 0:50 / /mnt/a\040b\011c\012d\134e rw - fuse.sshfs host:/x rw
61 22 0:51 / /srv/drop rw - tmpfs tmpfs rw
62 22 0:52 / /srv/drop rw - xfs /dev/sdc1 rw
not a line of mountinfo
"""
MOUNTS = mounts.parse_mountinfo(TEXT)


def test_a_line_is_read_whole() -> None:
    """Each line gives its id, root, point, type and source; optional fields are passed over."""
    expected = Mount(mount_id=50, root=b"/@home", point=b"/home", fstype="btrfs", source="/dev/sdb1")
    assert expected == MOUNTS[4]
    assert 8 == len(MOUNTS)


def test_octal_escapes_are_decoded() -> None:
    """Space, tab, newline and backslash come as octal digits and go as themselves."""
    assert b"/mnt/a b\tc\nd\\e" == MOUNTS[5].point
    assert "//win/Presse Fotos" == MOUNTS[3].source


def test_bytes_that_are_no_utf8_survive() -> None:
    """A mount point is bytes, whether the text came as bytes or as a str with surrogates."""
    line = b"7 1 0:1 / /caf\xe9 rw - ext4 /dev/x rw\n"
    assert b"/caf\xe9" == mounts.parse_mountinfo(line)[0].point
    assert b"/caf\xe9" == mounts.parse_mountinfo(line.decode("utf-8", "surrogateescape"))[0].point


@pytest.mark.parametrize(
    ("path", "mount_id"),
    [
        (b"/", 22),
        (b"/srv", 22),
        (b"/srv/nas", 40),
        (b"/srv/nas/a", 40),
        (b"/srv/nasa", 22),
        (b"/srv/nas/win/a", 41),
        (b"/srv/drop/a", 62),
        (b"/home/me", 50),
    ],
)
def test_the_longest_point_wins_and_of_equals_the_last(path: bytes, mount_id: int) -> None:
    """A path lies on the mount nearest above it, and on the topmost of a pile."""
    assert mount_id == mounts.mount_of(MOUNTS, path).mount_id


def test_without_a_mount_the_answer_is_unknown() -> None:
    """In a chroot mountinfo may say nothing of the root: that is an answer too."""
    assert mounts.UNKNOWN == mounts.mount_of((), b"/srv")


def test_what_is_below_leaves_out_what_is_at_the_path_and_what_is_covered() -> None:
    """Of a tree the mounts strictly inside count, each point once."""
    assert [41] == [mount.mount_id for mount in mounts.below(MOUNTS, b"/srv/nas")]
    assert [40, 41, 62] == [mount.mount_id for mount in mounts.below(MOUNTS, b"/srv")]
    assert 7 - 1 == len(mounts.below(MOUNTS, b"/"))


@pytest.mark.parametrize(
    "fstype", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse", "9p", "ceph", "virtiofs", "lustre"]
)
def test_network_file_systems_have_no_events(fstype: str) -> None:
    """Others change them without this kernel's knowledge."""
    assert mounts.is_network(fstype)
    assert not mounts.events_work(fstype)


@pytest.mark.parametrize(
    "fstype", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "vfat", "exfat", "fuseblk"]
)
def test_local_file_systems_have_events(fstype: str) -> None:
    """All changes go through this kernel."""
    assert not mounts.is_network(fstype)
    assert mounts.events_work(fstype)


def test_an_automount_point_is_local_but_tells_nothing() -> None:
    """What autofs mounts over itself is another file system's matter."""
    assert not mounts.is_network("autofs")
    assert not mounts.events_work("autofs")


def test_the_identity_names_source_type_and_root() -> None:
    """Two subvolumes of one device are two file systems, and a device number is no part of it."""
    assert "/dev/sdb1 (btrfs, /@home)" == mounts.identity(MOUNTS[4])


def test_this_machine_is_read() -> None:
    """The real mountinfo parses, line for line."""
    text = Path("/proc/self/mountinfo").read_bytes()
    assert len(text.splitlines()) == len(mounts.parse_mountinfo(text))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(text: bytes) -> None:
    """A line that is none is skipped, whatever it holds."""
    mounts.parse_mountinfo(text)
