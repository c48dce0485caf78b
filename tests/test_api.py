"""The wire: what leaves, what comes back, and what happens when either breaks off."""

import gc
import hashlib
import io
import json
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from pathlib import Path
from typing import Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identifai_watch import api as api_module
from identifai_watch.api import Api, Cancelled, Upload, wire
from identifai_watch.api.upload import Body
from identifai_watch.core import answers
from identifai_watch.core.answers import Answer, Failure, Reading, Response
from identifai_watch.core.events import Barred, Unsent
from identifai_watch.core.model import Label, Media, PauseReason
from identifai_watch.errors import AccountError
from tests.harness import wait_for

KEY = "key-0123456789"
CONTENT = bytes(range(256)) * 4096 * 3
PATIENCE = 10.0


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Line:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stream = sock.makefile("rb")

    def read(self, most: int | None = None) -> Asked | None:
        """Read one request, or its head and ``most`` bytes of its body; None at the end of the connection."""
        first = self.stream.readline()
        if not first:
            return None
        method, target, _ = first.decode().split()
        headers = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = self.stream.read(length if most is None else min(most, length))
        return Asked(method, target, headers, body)

    def say(self, status: str, body: bytes = b"", *headers: str, length: int | None = None) -> None:
        """Answer; ``length`` is the one declared where that is not the body's own."""
        declared = len(body) if length is None else length
        head = [f"HTTP/1.1 {status}", f"Content-Length: {declared}", *headers, "", ""]
        self.sock.sendall("\r\n".join(head).encode() + body)

    def reset(self) -> None:
        """Cut the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close both."""
        self.stream.close()
        self.sock.close()


Part = Callable[[Line], Asked | None]


@dataclass
class Peer:
    """A server on a raw socket that plays ``part`` on each of its connections."""

    part: Part
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lines: list[Line] = []
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, cut what stands, wait for the threads."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join(PATIENCE)
        self.listener.close()
        for line in self.lines:
            try:
                line.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self.threads[1:]:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            line = Line(self.tls.wrap_socket(sock, server_side=True) if self.tls else sock)
        except OSError:
            sock.close()
            return
        self.lines.append(line)
        try:
            while (asked := self.part(line)) is not None:
                self.asked.append(asked)
        except (OSError, ValueError):
            pass
        finally:
            line.close()


def answering(status: str, body: bytes = b"", *headers: str) -> Part:
    """Answer every request alike."""

    def part(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None:
            line.say(status, body, *headers)
        return asked

    return part


def taken(line: Line) -> Asked | None:
    """Take every upload."""
    return answering("200 OK", b'{"identifier": "id-1"}', "Content-Type: application/json")(line)


def an_upload(content: bytes = CONTENT, **changes: object) -> Upload:
    """Build an upload whose content is still what it was."""
    digest = hashlib.sha256(content).digest()
    upload = Upload(
        file=io.BytesIO(content),
        name="0123456789abcdef.jpg",
        mime="image/jpeg",
        size=len(content),
        verify=lambda sent: sent == digest,
    )
    return replace(upload, **changes)  # type: ignore[arg-type]  # the tests' own choice of fields


@pytest.fixture
def reach() -> Iterator[Callable[..., Api]]:
    """Build Apis and close them afterwards."""
    made: list[Api] = []

    def build(url: str, **changes: object) -> Api:
        made.append(Api(url, lambda: KEY, **changes))  # type: ignore[arg-type]  # likewise
        return made[-1]

    yield build
    for one in made:
        one.close()


Reach = Callable[..., Api]


def fields_of(asked: Asked) -> list[Message]:
    """Take a multipart body apart by the standard library, which shares nothing with what made it."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    parsed = message_from_bytes(head + asked.body, policy=HTTP)
    assert parsed.is_multipart()
    assert [] == parsed.defects
    return list(parsed.iter_parts())  # type: ignore[attr-defined]  # the policy makes it an EmailMessage


def test_an_upload_arrives_whole_with_its_options(reach: Reach) -> None:
    """The file part has the documented name, MIME and bytes; options are plain parts; the length is known."""
    with Peer(taken) as peer:
        answer = reach(peer.url).submit(
            Media.IMAGE, an_upload(), {"with_heatmap": "true", "ref_id": "drop/ä b.jpg"}
        )
    assert isinstance(answer, Response)
    assert (200, b'{"identifier": "id-1"}', True) == (answer.status, answer.body, answer.sent)
    assert "application/json" == answer.headers["content-type"]
    [asked] = peer.asked
    assert ("POST", "/api/classification") == (asked.method, asked.target)
    assert (KEY, "application/json") == (asked.headers["x-api-key"], asked.headers["accept"])
    assert "transfer-encoding" not in asked.headers
    parts = {part.get_param("name", header="content-disposition"): part for part in fields_of(asked)}
    assert {"ref_id", "with_heatmap", "image"} == set(parts)
    assert b"true" == parts["with_heatmap"].get_payload(decode=True)
    assert "drop/ä b.jpg".encode() == parts["ref_id"].get_payload(decode=True)
    assert "image/jpeg" == parts["image"].get_content_type()
    assert "0123456789abcdef.jpg" == parts["image"].get_filename()
    assert CONTENT == parts["image"].get_payload(decode=True)


@pytest.mark.parametrize(
    ("media", "path"),
    [
        (Media.IMAGE, "/api/classification"),
        (Media.VIDEO, "/api/classification_video"),
        (Media.AUDIO, "/api/classification_audio"),
    ],
)
def test_each_kind_has_its_own_addresses(reach: Reach, media: Media, path: str) -> None:
    """Submission, single result, override: one path a kind, and the file part is named by it."""
    with Peer(taken) as peer:
        api = reach(peer.url)
        api.submit(media, an_upload(b"x"), {})
        api.result(media, "id-1")
        api.override(media, "ab" * 32, Label.HUMAN)
    submitted, single, overridden = peer.asked
    assert f'name="{media}"' in submitted.body.decode()
    assert ("POST", path) == (submitted.method, submitted.target)
    assert ("GET", f"{path}/id-1") == (single.method, single.target)
    assert ("POST", f"{path}/{'ab' * 32}/override") == (overridden.method, overridden.target)
    assert {"classification": "human"} == json.loads(overridden.body)
    assert "application/json" == overridden.headers["content-type"]


def test_results_heatmap_and_credits_are_asked_as_documented(reach: Reach) -> None:
    """Identifiers are repeated under one encoded key; a heatmap is asked for as PNG."""
    with Peer(taken) as peer:
        api = reach(peer.url)
        api.results(Media.AUDIO, ["a", "b"])
        api.heatmap("id-1")
        api.credits()
    assert [
        ("/api/classifications_audio?identifiers%5B%5D=a&identifiers%5B%5D=b", "application/json"),
        ("/api/classification/heatmap/id-1", "image/png"),
        ("/api/user/credits", "application/json"),
    ] == [(asked.target, asked.headers["accept"]) for asked in peer.asked]
    assert 1 == peer.connections


@pytest.mark.parametrize("count", [0, 51])
def test_a_batch_has_1_to_50_identifiers(reach: Reach, count: int) -> None:
    """None would ask for everything that was ever sent, more make the request line too long."""
    with pytest.raises(ValueError, match=f"{count} identifiers"):
        reach("http://127.0.0.1:9").results(Media.IMAGE, ["x"] * count)


@pytest.mark.parametrize("identifier", ["", "a/b", "..", "a\nb", "a b", "a?b"])
def test_an_identifier_that_would_change_the_path_is_never_asked_for(reach: Reach, identifier: str) -> None:
    """What could name another address is refused before anything is sent."""
    with pytest.raises(ValueError, match="no identifier"):
        reach("http://127.0.0.1:9").result(Media.IMAGE, identifier)


def test_a_changed_content_is_never_completed(reach: Reach) -> None:
    """Where the digest disagrees the closing boundary is not written and the connection is cut."""
    received: list[bytes] = []
    done = threading.Event()

    def part(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None:
            received.append(asked.body)
            done.set()
        return None

    with Peer(part) as peer:
        answer = reach(peer.url).submit(Media.IMAGE, an_upload(verify=lambda _: False), {})
        assert done.wait(PATIENCE)
    assert Failure(reason="the file changed while it was sent", sent=False, reached=True, ours=True) == answer
    [body] = received
    assert body.endswith(CONTENT[-64:])


def test_a_file_that_became_shorter_is_never_completed(reach: Reach) -> None:
    """The declared length cannot be met: the connection is cut."""
    with Peer(taken) as peer:
        answer = reach(peer.url).submit(Media.IMAGE, an_upload(size=len(CONTENT) + 1), {})
    assert isinstance(answer, Failure)
    assert (False, True, True) == (answer.sent, answer.reached, answer.ours)


def test_a_file_that_cannot_be_read_is_our_own_matter(reach: Reach, tmp_path: Path) -> None:
    """An I/O error of the disk, or from looking at the file again, is not taken for one of the network."""
    with Peer(taken) as peer, (tmp_path / "written").open("wb") as unreadable:
        api = reach(peer.url)
        reading = api.submit(Media.IMAGE, an_upload(file=unreadable), {})
        looking = api.submit(Media.IMAGE, an_upload(verify=lambda _: bool((tmp_path / "none").stat())), {})
    for answer in (reading, looking):
        assert isinstance(answer, Failure)
        assert (False, True, True) == (answer.sent, answer.reached, answer.ours)


def test_the_digest_is_of_the_bytes_sent_and_progress_counts_them(reach: Reach) -> None:
    """What is verified is what left, not what lay there before."""
    digests: list[bytes] = []
    blocks: list[int] = []
    upload = an_upload(verify=lambda digest: digests.append(digest) is None, progress=blocks.append)
    with Peer(taken) as peer:
        reach(peer.url).submit(Media.IMAGE, upload, {})
    assert [hashlib.sha256(CONTENT).digest()] == digests
    assert len(CONTENT) == sum(blocks)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=4000),
    name=st.text(min_size=1, max_size=40),
    options=st.dictionaries(st.sampled_from(["ref_id", "frames"]), st.text(max_size=40)),
)
def test_whatever_is_sent_arrives_so(content: bytes, name: str, options: dict[str, str]) -> None:
    """Any content, name and option makes a body of the declared length that can be taken apart again."""
    body = Body(Media.AUDIO, an_upload(content, name=name), options)
    sent = b"".join(body)
    assert len(body) == len(sent)
    parts = fields_of(Asked("POST", "/", {"content-type": body.content_type}, sent))
    assert len(options) + 1 == len(parts)
    boundary = body.content_type.partition("boundary=")[2].encode()
    assert sent.endswith(b"\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\n")


# Departures.


def test_a_request_departs_when_its_connection_stands(reach: Reach) -> None:
    """The hook runs after the connection is accepted and before the first byte; it is told the method."""
    accepted, released = threading.Event(), threading.Event()
    first: list[bytes] = []

    def part(line: Line) -> Asked | None:
        accepted.set()
        line.sock.setblocking(False)  # noqa: FBT003 - the name of the argument is the socket's own
        if not released.is_set():
            try:
                first.append(line.sock.recv(1))
            except BlockingIOError:
                first.append(b"nothing")
            released.set()
        line.sock.settimeout(PATIENCE)
        return taken(line)

    departed: list[str] = []

    def depart(method: str) -> None:
        assert accepted.wait(PATIENCE)
        assert released.wait(PATIENCE)
        departed.append(method)

    with Peer(part) as peer:
        api = reach(peer.url, depart=depart)
        assert isinstance(api.submit(Media.IMAGE, an_upload(b"x"), {}), Response)
        assert isinstance(api.credits(), Response)
    assert [b"nothing"] == first
    assert ["POST", "GET"] == departed


def test_a_cancelled_request_never_leaves(reach: Reach) -> None:
    """Raising from the hook gives a failure that is ours, and nothing is on the wire."""

    def depart(_method: str) -> None:
        raise Cancelled

    with Peer(taken) as peer:
        answer = reach(peer.url, depart=depart).submit(Media.IMAGE, an_upload(), {})
    assert Failure(reason="cancelled", sent=False, reached=True, ours=True) == answer
    assert [] == peer.asked


def test_a_connection_lost_while_waiting_to_depart_is_made_anew(reach: Reach) -> None:
    """A server that closed an idle connection meanwhile costs no doubt."""
    departing, closed = threading.Event(), threading.Event()

    def part(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None:
            line.say("200 OK", b"{}")
            if asked.method == "GET":
                assert departing.wait(PATIENCE)
                line.close()
                closed.set()
        return asked

    def depart(method: str) -> None:
        if method == "POST":
            departing.set()
            assert closed.wait(PATIENCE)

    with Peer(part) as peer:
        api = reach(peer.url, depart=depart)
        api.credits()
        assert isinstance(api.submit(Media.IMAGE, an_upload(b"x"), {}), Response)
    assert 2 == peer.connections


def test_an_upload_takes_a_fresh_connection(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that idled is not trusted with an upload, for a lost one means doubt; a GET may have it."""
    monkeypatch.setattr(wire, "_FRESH_SECONDS", -1.0)
    with Peer(taken) as peer:
        api = reach(peer.url)
        api.credits()
        api.credits()
        assert 1 == peer.connections
        api.submit(Media.IMAGE, an_upload(b"x"), {})
    assert 2 == peer.connections


# Accidents.


def test_nobody_listens(reach: Reach) -> None:
    """No connection: neither reached nor sent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = reach(f"http://127.0.0.1:{port}").submit(Media.IMAGE, an_upload(), {})
    assert isinstance(answer, Failure)
    assert (False, False, False) == (answer.sent, answer.reached, answer.ours)
    assert "refused" in answer.reason


@pytest.mark.parametrize("status", ["401 Unauthorized", "413 Content Too Large", "429 Too Many Requests"])
def test_an_early_answer_is_read_although_the_body_was_not_taken(reach: Reach, status: str) -> None:
    """An answer that comes after the head, before a long body was taken, is known not to have all of it."""

    def part(line: Line) -> Asked | None:
        line.read(most=0)
        line.say(status, b'{"error": "no"}', "Connection: close")
        return None

    with Peer(part) as peer:
        answer = reach(peer.url).submit(Media.VIDEO, an_upload(bytes(64_000_000)), {})
    assert isinstance(answer, Response)
    assert (int(status[:3]), False) == (answer.status, answer.sent)


def after(finish: Callable[[Line], None]) -> Part:
    """Read the whole request, then ``finish`` the connection."""

    def part(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None:
            finish(line)
        return None

    return part


@pytest.mark.parametrize(
    "finish",
    [
        pytest.param(Line.close, id="close"),
        pytest.param(Line.reset, id="reset"),
        pytest.param(lambda line: line.sock.sendall(b"HTTP/1.1 2"), id="half a status"),
        pytest.param(lambda line: line.sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), id="not HTTP"),
        pytest.param(lambda line: line.say("200 OK", b'{"identi', length=99), id="truncated"),
    ],
)
def test_a_lost_answer_after_the_boundary_is_doubt(reach: Reach, finish: Callable[[Line], None]) -> None:
    """Everything was written and no answer came: that is sent, reached and nothing more."""
    with Peer(after(finish)) as peer:
        answer = reach(peer.url).submit(Media.IMAGE, an_upload(b"x"), {})
    assert isinstance(answer, Failure)
    assert (True, True, False) == (answer.sent, answer.reached, answer.ours)


def test_a_reset_in_the_middle_of_an_upload_sent_nothing(reach: Reach) -> None:
    """Cut before the closing boundary: nothing arrived by this attempt."""

    def part(line: Line) -> Asked | None:
        line.read(most=1000)
        line.reset()
        return None

    with Peer(part) as peer:
        answer = reach(peer.url).submit(Media.IMAGE, an_upload(bytes(64_000_000)), {})
    assert isinstance(answer, Failure)
    assert (False, True, False) == (answer.sent, answer.reached, answer.ours)


def test_a_stalled_answer_ends_at_the_time_out(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, or stops in its body, does not hold the thread for ever."""
    monkeypatch.setattr(api_module, "READ_SECONDS", 0.2)
    over = threading.Event()

    def silent(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None and "heatmap" in asked.target:
            line.say("200 OK", b"\x89PNG", length=99)
        over.wait(PATIENCE)
        return None

    with Peer(silent) as peer:
        api = reach(peer.url)
        answers = [api.submit(Media.IMAGE, an_upload(b"x"), {}), api.heatmap("id-1")]
        over.set()
    for answer in answers:
        assert isinstance(answer, Failure)
        assert (True, True, False) == (answer.sent, answer.reached, answer.ours)
        assert "timed out" in answer.reason


def test_an_answer_that_drips_ends_too(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, but the whole has a time of its own: a poll is not held for ever."""
    monkeypatch.setattr(api_module, "READ_SECONDS", 0.3)
    over = threading.Event()

    def dripping(line: Line) -> Asked | None:
        asked = line.read()
        line.say("200 OK", b"[", length=10_000)
        while not over.wait(0.05):
            try:
                line.sock.sendall(b" ")
            except OSError:
                break
        return asked

    with Peer(dripping) as peer:
        answer = reach(peer.url).credits()
        over.set()
    assert isinstance(answer, Failure)
    assert (True, True, True) == (answer.sent, answer.reached, "drips" in answer.reason)


def test_a_stalled_upload_ends_at_its_own_time_out(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody takes the bytes, a block's time ends the upload; nothing was sent."""
    monkeypatch.setattr(wire, "WRITE_SECONDS", 0.2)
    over = threading.Event()

    def part(_line: Line) -> Asked | None:
        over.wait(PATIENCE)
        return None

    with Peer(part) as peer:
        answer = reach(peer.url).submit(Media.VIDEO, an_upload(bytes(64_000_000)), {})
        over.set()
    assert isinstance(answer, Failure)
    assert (False, True, False) == (answer.sent, answer.reached, answer.ours)


def test_an_error_whose_body_breaks_off_is_still_that_error(reach: Reach) -> None:
    """The status of a 429 is enough."""
    with Peer(after(lambda line: line.say("429 Too Many", b'{"mess', "Retry-After: 3", length=99))) as peer:
        answer = reach(peer.url).credits()
    assert isinstance(answer, Response)
    assert (429, "3") == (answer.status, answer.headers["retry-after"])


def test_an_answer_without_end_is_cut(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fill the memory."""
    monkeypatch.setattr(api_module, "_LONGEST_ANSWER", 2_000_000)
    with Peer(answering("200 OK", bytes(8_000_000))) as peer:
        answer = reach(peer.url).credits()
    assert isinstance(answer, Response)
    assert 2_000_000 < len(answer.body) < 4_000_000


def test_a_redirect_is_not_followed(reach: Reach) -> None:
    """The key goes to no other host."""
    with Peer(taken) as other:
        with Peer(answering("302 Found", b"", f"Location: {other.url}/")) as peer:
            answer = reach(peer.url).credits()
        assert [] == other.asked
    assert isinstance(answer, Response)
    assert 302 == answer.status


def test_nothing_is_taken_from_the_environment(
    reach: Reach, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a .netrc, and a cookie is not sent back."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Peer(answering("200 OK", b"{}", "Set-Cookie: session=1; Path=/")) as peer:
        api = reach(peer.url)
        api.credits()
        api.credits()
    assert 2 == len(peer.asked)
    assert {"authorization", "cookie"}.isdisjoint(set(peer.asked[0].headers) | set(peer.asked[1].headers))


# The key.


def test_the_key_is_asked_for_anew() -> None:
    """A changed key is used by the next request; surrounding white space is not part of it."""
    keys = iter(["one\n", "two"])
    with Peer(taken) as peer:
        api = Api(peer.url, lambda: next(keys))
        api.credits()
        api.credits()
        api.close()
    assert ["one", "two"] == [asked.headers["x-api-key"] for asked in peer.asked]


@pytest.mark.parametrize("key", ["", " \n", "se\ncret", "sécret", "sec\x00ret"])
def test_a_key_that_no_header_can_carry_is_never_shown(key: str) -> None:
    """Nothing is sent: it is the account's matter, and the message does not hold it."""
    answer = Api("http://127.0.0.1:9", lambda: key).credits()
    assert isinstance(answer, Failure)
    assert (True, False, False) == (answer.keyless, answer.sent, answer.reached)
    assert not key.strip() or key not in answer.reason


def test_a_key_that_cannot_be_had_is_the_account_s_matter() -> None:
    """A key file that went away mid-run pauses the account: nothing was sent, and nothing is in doubt."""

    def key() -> str:
        raise AccountError("the key file is empty")

    api = Api("http://127.0.0.1:9", key)
    now = datetime.now(UTC)
    barred = Barred(PauseReason.KEY, "the key file is empty")
    read = answers.upload(api.submit(Media.IMAGE, an_upload(), {}), now=now)
    assert Reading(event=Unsent("the key file is empty"), account=barred) == read
    assert barred == answers.credits(api.credits(), now=now).account


def test_the_key_is_in_no_failure_and_no_repr(reach: Reach) -> None:
    """Neither what went wrong nor the Api itself shows it."""
    api = reach("http://127.0.0.1:9")
    assert KEY not in repr(api)
    assert KEY not in repr(api.credits())
    assert KEY not in repr(api.submit(Media.IMAGE, an_upload(), {}))


# TLS and stopping.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1, its key in the same file."""
    place = tmp_path_factory.mktemp("tls")
    made = place / "both.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=identifai-watch test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    made.write_bytes((place / "key.pem").read_bytes() + (place / "cert.pem").read_bytes())
    return made


def tls(certificate: Path) -> ssl.SSLContext:
    """Serve with ``certificate``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_tls_is_verified(reach: Reach, certificate: Path) -> None:
    """A certificate that nobody vouches for is the network's matter, and nothing leaves; a trusted one serves."""
    with Peer(taken, tls=tls(certificate)) as peer:
        refused = reach(peer.url).submit(Media.IMAGE, an_upload(), {})
        api = reach(peer.url, ca_file=str(certificate))
        accepted = [api.submit(Media.IMAGE, an_upload(), {}), api.credits()]
    assert isinstance(refused, Failure)
    assert (False, False, False) == (refused.sent, refused.reached, refused.ours)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.reason
    assert [True, True] == [isinstance(answer, Response) for answer in accepted]
    assert 2 == len(peer.asked)


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("is_sent", [False, True])
def test_abandoning_cuts_an_upload_at_once(
    reach: Reach, certificate: Path, *, is_tls: bool, is_sent: bool
) -> None:
    """An upload that nobody takes, or whose answer does not come, ends when the daemon stops; later ones too."""
    under_way, over = threading.Event(), threading.Event()

    def part(line: Line) -> Asked | None:
        line.read(most=None if is_sent else 1000)
        under_way.set()
        over.wait(PATIENCE)
        return None

    content = b"x" if is_sent else bytes(64_000_000)
    answers: list[Answer] = []
    with Peer(part, tls=tls(certificate) if is_tls else None) as peer:
        api = reach(peer.url, ca_file=str(certificate))
        sender = threading.Thread(
            target=lambda: answers.append(api.submit(Media.VIDEO, an_upload(content), {}))
        )
        sender.start()
        assert under_way.wait(PATIENCE)
        api.abandon()
        sender.join(PATIENCE)
        assert not sender.is_alive()
        answers.append(api.submit(Media.VIDEO, an_upload(b"x"), {}))
        over.set()
    abandoned = Failure(reason="abandoned: the daemon stops", sent=is_sent, reached=True, ours=True)
    assert [abandoned, replace(abandoned, sent=False)] == answers


def test_threads_have_connections_of_their_own(reach: Reach) -> None:
    """Two threads that ask at once do not wait for one another."""
    both = threading.Barrier(2, timeout=PATIENCE)

    def part(line: Line) -> Asked | None:
        asked = line.read()
        if asked is not None:
            both.wait()
            line.say("200 OK", b"{}")
        return asked

    answers: list[Answer] = []
    with Peer(part) as peer:
        api = reach(peer.url)
        threads = [threading.Thread(target=lambda: answers.append(api.credits())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert [200, 200] == [answer.status for answer in answers if isinstance(answer, Response)]


def test_a_thread_that_ended_leaves_no_connection(reach: Reach) -> None:
    """Its session goes with it."""
    with Peer(taken) as peer:
        api = reach(peer.url)
        thread = threading.Thread(target=api.credits)
        thread.start()
        thread.join(PATIENCE)
        # A collection that another thread has under way makes this one a matter of the next.
        wait_for(lambda: gc.collect() >= 0 and not list(api._sessions), "no session is left")
