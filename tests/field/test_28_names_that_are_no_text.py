"""Row 28: names that are no UTF-8, or that look alike and are not.

As met elsewhere: a name in an old encoding ends the pass with a decoding error, or is skipped in silence; a name that
is normalised on the way is not found any more, or is another file's; a line feed in a name breaks a list in two.

Here names are bytes from the directory to the ledger and back. Each file gets one sidecar, beside the very name; what
people and programs read shows bytes that are no text as an escape, and gives the name whole besides.
"""

import base64
import json
import os
import unicodedata
from pathlib import Path

from identifai_watch.core.routing import sidecar_name
from identifai_watch.core.sidecar import shown
from tests.console import at
from tests.harness import house, wait_for
from tests.watching import content, sha256

NAMES = [
    b"latin \xe9.png",
    b"\xff\xfe.png",
    b"cut \xe2\x82.png",
    unicodedata.normalize("NFC", "ébène.png").encode(),
    unicodedata.normalize("NFD", "ébène.png").encode(),
    "\N{ANGSTROM SIGN}.png".encode(),
    "Å.png".encode(),
    b"two\nlines.png",
    b"tab\tand\rreturn.png",
    b"\x1b[31mred\x1b[0m.png",
    b'"quotes" and \\xe9.png',
    b"-rf.png",
    b"%s {0} $HOME *.png",
    b" spaces .png",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.png".encode(),
    "写真 \N{CAMERA}.png".encode(),
    b"n" * 251 + b".png",
    b"\xe9" * 251 + b".png",
]


def test_each_name_gets_its_own_sidecar_beside_the_very_name(tmp_path: Path) -> None:
    """Eighteen names, eighteen sidecars, and nothing else; list, log and sidecars can be parsed and tell them apart."""
    with house(tmp_path, folder={"settle_seconds": 0.2, "rescan_seconds": 0.3}) as home:
        drop = os.fsencode(home.drop)
        expected = {sidecar_name(name): name for name in NAMES}
        with home.process():
            for number, name in enumerate(NAMES):
                with open(drop + b"/" + name, "wb") as file:  # noqa: PTH123 - the name is no text
                    file.write(content(str(number)))
            wait_for(lambda: set(os.listdir(drop)) >= set(expected), "each has its sidecar", 60)  # noqa: PTH208
            wait_for(
                lambda: {str(one.file.state) for one in home.lines()} == {"delivered"}, "all is written down"
            )
            listed = [json.loads(line) for line in at(home, "list", "--json").out.split("\n") if line]
        assert {*NAMES, *expected} == set(os.listdir(drop))  # noqa: PTH208 - bytes
        for beside, name in expected.items():
            document = json.loads((home.drop / os.fsdecode(beside)).read_text(encoding="utf-8"))["file"]
            number = NAMES.index(name)
            assert sha256(str(number)).hex() == document["sha256"]
            assert (shown(name), shown(name)) == (document["name"], document["path"])
            given = document.get("path_bytes")
            assert name == (document["path"].encode() if given is None else base64.b64decode(given))
        assert sorted(map(shown, NAMES)) == sorted(line["path"] for line in listed)
        assert {"delivered"} == {line["state"] for line in listed}
        told = {line["path"] for line in home.logged() if line["event"] == "delivered"}
        assert len(NAMES) == len(told)
        assert b"\x1b" not in home.log.read_bytes()
        assert len(NAMES) == len(home.simulator.state.charged)
