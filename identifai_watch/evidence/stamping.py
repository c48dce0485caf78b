"""Have a head of the history's chain stamped by an RFC 3161 authority, and read what such an authority signed.

Only the head leaves, as the imprint of what is to be stamped. The library is the extra ``evidence``: without it
nothing is stamped, and a bundle's stamps can still be checked with openssl.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from identifai_watch import __version__
from identifai_watch.core.verdicts import escaped

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SECONDS = (10.0, 30.0)
"""To connect, and for each part of the answer."""

LARGEST = 1024 * 1024
"""Bytes of an answer: one with all its certificates has about 6,000."""

ALL_SECONDS = 60.0
"""For the whole answer: one that drips must not hold a thread for ever."""

_BLOCK = 16 * 1024

EXTRA = "the library for it is not installed: pip install 'identifai-watch[evidence]'"

_CERTIFICATES = 0xA0
"""The tag of a SignedData's certificates (RFC 5652, 5.1)."""

_SHA256 = "2.16.840.1.101.3.4.2.1"
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


class StampError(Exception):
    """There is no stamp, or it is not what it should be; its text says why, and never the authority's address."""


class NoLibraryError(StampError):
    """The extra ``evidence`` is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """What an authority answered, as it came, and the instant that it vouches for."""

    answer: bytes
    stamped_at: datetime
    authority: str


def stamp(
    url: str, before: bytes, imprint: bytes, *, ca_file: Path | None = None, proxy: str = ""
) -> Stamped:
    """Have the head stamped that is the SHA-256 of ``before`` and the line's ``imprint``; with ``ca_file`` its signature holds too.

    Raises:
        StampError: The authority cannot be reached, refuses, or answers about something else.
    """
    library = _library()
    builder = library.TimestampRequestBuilder().data(before + imprint)
    asked = builder.hash_algorithm(library.HashAlgorithm.SHA256).cert_request(cert_request=True).build()
    answer = _ask(url, asked.as_bytes(), proxy)
    stamped_at = check(
        answer, hashlib.sha256(before + imprint).digest(), roots=_roots(ca_file), nonce=asked.nonce
    )
    return Stamped(answer=answer, stamped_at=stamped_at, authority=urlsplit(url).hostname or "unnamed")


def check(
    answer: bytes, head: bytes, *, roots: Sequence[Certificate] = (), nonce: int | None = None
) -> datetime:
    """Return the instant at which an authority stamped ``head``; only with ``roots`` is its signature checked.

    Raises:
        StampError: The answer is none, is about something else, or is signed by nobody who is trusted.
    """
    library = _library()
    try:
        reply = library.decode_timestamp_response(_in_order(answer))
        status = library.PKIStatus(reply.status)
        told = reply.tst_info if status is library.PKIStatus.GRANTED else None
    except ValueError as error:
        raise StampError("the answer is no RFC 3161 time stamp") from error
    if told is None:
        said = "; ".join(reply.status_string) or status.name.lower()
        raise StampError(f"the authority did not grant a stamp: {escaped(said[:200])}")
    imprint = told.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256 or imprint.message != head:
        raise StampError("the stamp is for something else than this head")
    if nonce is not None and told.nonce != nonce:
        raise StampError("the stamp answers another question: its nonce is not ours")
    if roots:
        verifier = library.VerifierBuilder(roots=list(roots), nonce=nonce).build()
        try:
            verifier.verify(reply, head)
        except library.VerificationError as error:
            raise StampError(f"the stamp's signature does not hold: {error}") from error
    stamped_at: datetime = told.gen_time
    return stamped_at


def _in_order(answer: bytes) -> bytes:
    """Return an answer with its certificates in DER's order, which many authorities do not keep, openssl's own among them.

    The library insists on it; nobody has signed the order. What is not built like an answer is returned as it is.
    """
    try:
        response = _elements(answer, 0, len(answer))[0]
        token = _elements(answer, *response.inner)[1]
        signed = _elements(answer, *_elements(answer, *token.inner)[1].inner)[0]
        certificates = next(one for one in _elements(answer, *signed.inner) if one.tag == _CERTIFICATES)
        begin, end = certificates.inner
        listed = sorted(answer[one.begin : one.inner[1]] for one in _elements(answer, begin, end))
    except (IndexError, StopIteration, ValueError):
        return answer
    return answer[:begin] + b"".join(listed) + answer[end:]


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of a DER encoding: where it begins, and where what is in it begins and ends."""

    tag: int
    begin: int
    inner: tuple[int, int]


def _elements(data: bytes, at: int, end: int) -> list[_Element]:
    """Take apart what lies side by side between two places (X.690, 8.1; definite lengths alone)."""
    found: list[_Element] = []
    while at < end:
        first, begin = data[at + 1], at + 2
        if first > 0x84 or first == 0x80:
            raise ValueError("a length that is not in DER, or of no use here")
        if first > 0x80:
            begin += first - 0x80
        length = first if first < 0x80 else int.from_bytes(data[at + 2 : begin])
        if begin + length > end:
            raise ValueError("longer than what it stands in")
        found.append(_Element(data[at], at, (begin, begin + length)))
        at = begin + length
    return found


def roots_in(path: Path) -> list[Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        StampError: It cannot be read, or holds none.
    """
    _library()
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - part of the extra

    try:
        return load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise StampError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StampError(f"{path} holds no certificate; it is a file of them in PEM") from error


def _roots(ca_file: Path | None) -> list[Certificate]:
    return [] if ca_file is None else roots_in(ca_file)


def has_library() -> bool:
    """Tell whether stamps can be made and checked here."""
    return importlib.util.find_spec("rfc3161_client") is not None


def _library() -> Any:
    try:
        import rfc3161_client as library  # noqa: PLC0415 - the extra
    except ImportError as error:
        raise NoLibraryError(EXTRA) from error
    return library


def _ask(url: str, query: bytes, proxy: str) -> bytes:
    """Post a query; the address is never told, for it may hold a secret."""
    import requests  # noqa: PLC0415 - slow to import, and whoever only checks asks nobody

    headers = {
        "Content-Type": _QUERY,
        "Accept": _REPLY,
        "User-Agent": f"identifai-watch/{__version__}",
        "Accept-Encoding": "identity",
    }
    body = bytearray()
    until = time.monotonic() + ALL_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        try:
            with session.post(
                url, data=query, headers=headers, timeout=SECONDS, allow_redirects=False, stream=True
            ) as answer:
                if answer.status_code != HTTPStatus.OK:
                    raise StampError(f"the authority answered {answer.status_code}")
                for block in answer.iter_content(_BLOCK):
                    body += block
                    if len(body) > LARGEST or time.monotonic() > until:
                        raise StampError("the authority's answer has no end")
        except requests.RequestException as error:
            raise StampError(f"the authority cannot be reached ({type(error).__name__})") from error
    return bytes(body)
