"""The address under which people find a file is the folder's own path, or what their share calls it."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core.addresses import address


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("/srv/drop", b"a/b.jpg", "/srv/drop/a/b.jpg"),
        ("/srv/drop/", b"b.jpg", "/srv/drop/b.jpg"),
        ("/", b"b.jpg", "/b.jpg"),
        ("/srv/drop", b"", "/srv/drop"),
        ("/srv/drop", b"caf\xe9\x1b[1m.jpg", "/srv/drop/caf\\xe9\\x1b[1m.jpg"),
        ("smb://nas/drop", b"a b/50%#?.jpg", "smb://nas/drop/a%20b/50%25%23%3F.jpg"),
        ("smb://nas/drop/", "é.jpg".encode(), "smb://nas/drop/%C3%A9.jpg"),
        ("smb://nas/drop", b"caf\xe9\n.jpg", "smb://nas/drop/caf%E9%0A.jpg"),
        ("smb://nas/drop", b"", "smb://nas/drop"),
        ("https://dam.example/f?x=", b"a&b.jpg", "https://dam.example/f?x=/a%26b.jpg"),
        ("\\\\nas\\drop", b"a/b.jpg", "\\\\nas\\drop\\a\\b.jpg"),
        ("Z:\\", b"a/b.jpg", "Z:\\a\\b.jpg"),
        ("Z:\\drop", b"", "Z:\\drop"),
        ("Drop on the NAS", b"a/b.jpg", "Drop on the NAS/a/b.jpg"),
        ("smb://nas/drop", b"/elsewhere/b c.jpg", "/elsewhere/b c.jpg"),
    ],
)
def test_where_people_find_a_file(base: str, path: bytes, expected: str) -> None:
    """Below a URL it is percent-encoded, below a Windows path parted by backslashes; outside of the folder it is as it is."""
    assert expected == address(base, path)


@given(st.lists(st.binary(min_size=1).filter(lambda name: not {0, 47} & set(name)), min_size=1))
def test_a_url_names_every_byte(names: list[bytes]) -> None:
    """Whatever a file is called, its URL is plain ASCII without blanks, and leads back to its name."""
    path = b"/".join(names)
    found = address("smb://nas/drop", path)
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    assert path == unquote_to_bytes(found.removeprefix("smb://nas/drop/"))
