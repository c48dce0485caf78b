"""The text in a bundle that says how to check it, with tools that everybody has and without this program."""

from collections.abc import Iterator
from typing import Any

CHAIN_CHECK = """\
python3 - <<'END'
import glob, hashlib, json
own = {}
for row in map(json.loads, open("history.jsonl", encoding="utf-8")):
    line = [row[name] for name in ("at_us", "who", "event", "file_id", "analysis_id", "detail")]
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    own[str(row["id"])] = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
for name in sorted(glob.glob("chain/*.txt")):
    for word, value in map(str.split, open(name)):
        if word == "before":
            digest = bytes.fromhex(value)
        elif word == "head":
            assert digest.hex() == value, name + " does not lead to its head"
        else:
            assert own.pop(word, value) == value, "line " + word + " is not the one in the chain"
            digest = hashlib.sha256(digest + bytes.fromhex(value)).digest()
    print(name, "leads to", digest.hex())
assert not own, "not in the chain: " + str(own)
END
"""


def text(top: str, manifest: dict[str, Any]) -> str:
    """Return the instructions of a bundle whose files lie below ``top``."""
    return "\n".join([*_sums(top, manifest), *_chain(manifest), *_stamps(manifest)])


def _sums(top: str, manifest: dict[str, Any]) -> Iterator[str]:
    yield "HOW TO CHECK THIS BUNDLE"
    yield ""
    yield "1. That nothing in it was changed"
    yield ""
    yield "Unpack it, go into its directory, and have every file compared with its SHA-256:"
    yield ""
    yield "    unzip BUNDLE.zip"
    yield f"    cd {top}"
    yield "    sha256sum -c SHA256SUMS"
    yield ""
    yield "Each line must end with OK. Whoever changes a file could write its sum anew too: compare the sum of the"
    yield "original with the one that you were told by another way, in a message or on paper:"
    yield ""
    if manifest["original"] is not None:
        yield f"    sha256sum {manifest['original']}"
    else:
        yield "    (the original is not in this bundle; manifest.json says why)"
    if manifest["file"]["sha256"] is not None:
        yield f"    {manifest['file']['sha256']}  is what was judged"
    yield ""
    yield "report.html is for people, and can be printed; it loads nothing from anywhere. manifest.json says the same to"
    yield "programs, and what is missing. answers/ holds what identifAI answered about this content, byte for byte: its"
    yield "own part of an answer, which may have been about several contents at once."
    yield ""


def _chain(manifest: dict[str, Any]) -> Iterator[str]:
    if not manifest["chain"]:
        return
    yield "2. That its history is the one that was written at the time"
    yield ""
    yield "history.jsonl has the lines about this file from the audit trail. Each line of that trail has a digest: the"
    yield "SHA-256 of the digest of the line before it, followed by the SHA-256 of the line itself. chain/ has what it takes"
    yield "to follow it from these lines to a head that others know; of the lines between, which are about other files,"
    yield "only the SHA-256. To compute it anew:"
    yield ""
    yield from CHAIN_CHECK.splitlines()  # not indented, so that it can be copied as it stands
    yield ""
    yield "The line of a verdict holds the SHA-256 of the original (sha256) and of identifAI's answer (answer_sha256):"
    yield "so the chain vouches for both. That no line about this file was left out only the ledger can tell. These heads"
    yield "must be known from elsewhere:"
    yield ""
    for one in manifest["chain"]:
        yield f"    {one['head']}  {_known(one)}"
    yield ""


def _known(passage: dict[str, Any]) -> str:
    if passage["stamp"] is not None:
        return f"stamped by {passage['stamp']['authority']} at {passage['stamp']['stamped_at']}, see 3"
    if passage["day"] is not None:
        return f"in the daemon's log as the head of {passage['day']}"
    return "the newest line when this bundle was made"


def _stamps(manifest: dict[str, Any]) -> Iterator[str]:
    stamped = [one for one in manifest["chain"] if one["stamp"] is not None]
    if not stamped:
        return
    yield "3. That it was so no later than an independent authority says"
    yield ""
    yield "An authority (RFC 3161) signed the head with the time; it saw nothing but the head. Get the authority's root"
    yield "certificate from the authority itself, not from whoever gave you this bundle, and:"
    yield ""
    for one in stamped:
        yield f"    openssl ts -verify -digest {one['head']} -in {one['stamp']['file']} -CAfile ROOT.pem"
        yield f"    openssl ts -reply -in {one['stamp']['file']} -text"
    yield ""
    yield 'The first says "Verification: OK", the second tells the time.'
    yield ""
