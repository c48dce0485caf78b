"""One request to identifAI, its answer back; ``wire`` has the connections, ``upload`` the body of what is sent.

It repeats nothing, follows no redirect and decides nothing: what an answer means stands in ``core.answers``. The
key is asked for anew with each request and never part of a text that leaves this module.
"""

import contextlib
import json as jsons
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

import requests
from urllib3.exceptions import HTTPError

from identifai_watch import __version__
from identifai_watch.api.upload import Body, Cancelled, Upload
from identifai_watch.api.wire import FLIGHT, Flight, certificate_ends, new_session
from identifai_watch.core.model import Label, Media
from identifai_watch.core.replies import Answer, Failure, Response, is_identifier
from identifai_watch.errors import AccountError

MOST_IDENTIFIERS = 50
"""In one GET: 100 are allowed, but make a request line over the usual 8,192 bytes (api-notes 12)."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0

_BLOCK = 1024 * 1024
_LONGEST_ANSWER = 128 * 1024 * 1024
_ANSWER_BYTES_PER_SECOND = 100_000
"""An answer may take READ_SECONDS, and more by its size: one that drips must not hold a question for ever."""
_INTAKE_BYTES_PER_SECOND = 5_000_000
"""How slowly the API may take in what lies in buffers on the way once we wrote the last byte."""

_SUBMISSIONS = {
    Media.IMAGE: "/api/classification",
    Media.VIDEO: "/api/classification_video",
    Media.AUDIO: "/api/classification_audio",
}
_BATCHES = {
    Media.IMAGE: "/api/classifications",
    Media.VIDEO: "/api/classifications_video",
    Media.AUDIO: "/api/classifications_audio",
}


def immediately(_method: str) -> None:
    """Depart at once: the ``depart`` of those who keep no budget."""


def unheard(_kind: str, _answer: Answer) -> None:
    """Count nothing: the ``answered`` of those who ask for themselves alone."""


class Api:
    """The account at ``url``; safe to use from several threads, each of which keeps its own connection.

    ``key`` gives the API key. ``depart`` gets the method of each request when its connection stands, right before
    its first byte leaves: it returns when the request may go, or raises ``Cancelled``. ``answered`` gets the kind of
    each request, in a word, and its answer, in the thread that asked. ``ca_file`` holds the authorities to trust
    instead of the usual ones. ``proxy`` is the address, perhaps with user and password, of a proxy through which ``https``
    goes in a tunnel; nothing is taken from the environment.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[], str],
        *,
        depart: Callable[[str], None] = immediately,
        answered: Callable[[str, Answer], None] = unheard,
        user_agent: str = f"identifai-watch/{__version__}",
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._depart = depart
        self._answered = answered
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._proxy = proxy
        self._certificate_ends: datetime | None = None
        self._own = threading.local()
        self._lock = threading.Lock()
        self._sessions: WeakSet[requests.Session] = WeakSet()  # a thread that ends takes its own with it
        self._flights: set[Flight] = set()
        self._is_abandoned = False

    def submit(self, media: Media, upload: Upload, options: Mapping[str, str]) -> Answer:
        """Send a content, with the form's ``options``; unless ``upload.verify`` agrees it is never completed."""
        return self._ask("upload", "POST", _SUBMISSIONS[media], body=Body(media, upload, options))

    def result(self, media: Media, identifier: str) -> Answer:
        """Ask for the result of one identifier."""
        return self._ask("result", "GET", f"{_SUBMISSIONS[media]}/{_segment(identifier)}")

    def results(self, media: Media, identifiers: Sequence[str]) -> Answer:
        """Ask for the results of 1 to 50 identifiers of one kind; never for a listing (api-notes 13)."""
        if not 0 < len(identifiers) <= MOST_IDENTIFIERS:
            raise ValueError(f"{len(identifiers)} identifiers in one request, not 1 to {MOST_IDENTIFIERS}")
        query = "&".join(f"identifiers%5B%5D={_segment(identifier)}" for identifier in identifiers)
        return self._ask("results", "GET", f"{_BATCHES[media]}?{query}")

    def heatmap(self, identifier: str) -> Answer:
        """Ask for the PNG of an image's heatmap."""
        path = f"/api/classification/heatmap/{_segment(identifier)}"
        return self._ask("heatmap", "GET", path, accept="image/png")

    def credits(self) -> Answer:
        """Ask for the account's credits."""
        return self._ask("credits", "GET", "/api/user/credits")

    def override(self, media: Media, sha256: str, label: Label) -> Answer:
        """Tell the vendor what the content with this SHA-256 (hex) is; that cannot be undone."""
        path = f"{_SUBMISSIONS[media]}/{_segment(sha256)}/override"
        return self._ask("override", "POST", path, json={"classification": label.value})

    @property
    def certificate_ends(self) -> datetime | None:
        """Return until when the certificate is good that the latest request found; None if it found none."""
        return self._certificate_ends

    def abandon(self) -> None:
        """Cut every upload in flight, and each that begins later, for a stop that cannot wait."""
        with self._lock:
            self._is_abandoned = True
            for flight in self._flights:
                flight.abandon()

    def close(self) -> None:
        """Close the connections of all threads; those that still ask are not waited for."""
        with self._lock:
            sessions = list(self._sessions)
            self._sessions.clear()
        for session in sessions:
            session.close()

    def _ask(self, kind: str, method: str, path: str, **said: Any) -> Answer:
        answer = self._exchange(method, path, **said)
        self._answered(kind, answer)
        return answer

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        body: Body | None = None,
        json: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            key = self._usable_key()
        except AccountError as error:
            return Failure(reason=str(error), sent=False, reached=False, keyless=True)
        headers = {"Accept": accept, "X-Api-Key": key, "User-Agent": self._user_agent}
        patience = READ_SECONDS
        if body is not None:
            headers["Content-Type"] = body.content_type
            patience += len(body) / _INTAKE_BYTES_PER_SECOND
        flight = Flight(method=method, depart=self._depart, body=body)
        with self._aboard(flight):
            try:
                with self._session().request(
                    method,
                    self._url + path,
                    headers=headers,
                    data=body,
                    json=json,
                    timeout=(CONNECT_SECONDS, patience),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    self._certificate_ends = certificate_ends(flight.sock)
                    return _read(answer, sent=flight.is_sent, key=key)
            except Cancelled as end:
                return Failure(reason=str(end) or "cancelled", sent=False, reached=flight.reached, ours=True)
            except (OSError, HTTPError) as error:
                return flight.failure(error)

    def _usable_key(self) -> str:
        """Ask for the key; one that no header can carry would else end up in an exception's text."""
        key = self._key().strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AccountError("the API key is empty or has characters that a key cannot have")
        return key

    def _session(self) -> requests.Session:
        """Give this thread's own session."""
        try:
            session: requests.Session = self._own.session
        except AttributeError:
            session = self._own.session = new_session(self._ca_file, self._proxy)
            with self._lock:
                self._sessions.add(session)
        return session

    @contextlib.contextmanager
    def _aboard(self, flight: Flight) -> Iterator[None]:
        """Make ``flight`` known to its connection, and to ``abandon`` if it is an upload."""
        token = FLIGHT.set(flight)
        try:
            with self._lock:
                if flight.body is not None:
                    self._flights.add(flight)
                    flight.is_abandoned = self._is_abandoned
            yield
        finally:
            with self._lock:
                self._flights.discard(flight)
            FLIGHT.reset(token)


def _read(answer: requests.Response, *, sent: bool, key: str) -> Response:
    """Read the body, in which nobody is to find the key; where it breaks off, an error's status still says enough."""
    body = bytearray()
    began = time.monotonic()
    try:
        while len(body) <= _LONGEST_ANSWER and (chunk := answer.raw.read1(_BLOCK, decode_content=True)):
            body += chunk
            if time.monotonic() - began > READ_SECONDS + len(body) / _ANSWER_BYTES_PER_SECOND:
                raise TimeoutError(f"the answer drips: {len(body)} bytes so far")
    except (OSError, HTTPError):
        if answer.status_code < 400:
            raise
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status_code, headers=headers, body=_without(key, bytes(body)), sent=sent)


def _without(key: str, body: bytes) -> bytes:
    """Hide the key in an answer that tells it back: what is answered goes to the ledger, the log and sidecars."""
    spelt = jsons.dumps(key)[1:-1]
    for spelling in {key, spelt, spelt.replace("/", "\\/")}:
        body = body.replace(spelling.encode(), b"[hidden]")
    return body


def _segment(identifier: str) -> str:
    """Encode an identifier for a path or a query; a ValueError where it could name something else (api-notes 34)."""
    if not is_identifier(identifier):
        raise ValueError(f"no identifier: {identifier!r}")
    return quote(identifier, safe="")


__all__ = ["MOST_IDENTIFIERS", "Api", "Cancelled", "Upload", "immediately", "unheard"]
