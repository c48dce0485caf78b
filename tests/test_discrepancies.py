"""One case for each of docs/api-notes.md, by its number: the place that owns the note does what it says."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from identifai_watch import config
from identifai_watch.api import MOST_IDENTIFIERS, Api, Upload
from identifai_watch.core import answers, gate, lifecycle, media, polling, routing, standing
from identifai_watch.core.answers import AskCredits, Failure, Reading, Response, Results
from identifai_watch.core.events import (
    AnalysisEvent,
    Barred,
    Begun,
    Deferred,
    Errored,
    Healthy,
    Judged,
    Malformed,
    Mismatched,
    Pending,
    Refused,
    Throttled,
    Unanswered,
    Unreachable,
    Unsent,
    Uploaded,
)
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    Label,
    Media,
    Outcome,
    PauseReason,
    Provenance,
    Verdict,
)
from identifai_watch.errors import ConfigError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SHA256 = hashlib.sha256(b"content").digest()
SAID = {"heuristic": "Majority", "confidence": 0.9, "classification": "human"}
NOTES = (Path(__file__).parent.parent / "docs" / "api-notes.md").read_text().partition("## Statuses")[0]
POLICY = lifecycle.Policy()
CASES: dict[str, Callable[[], None]] = {}


def note(number: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """File a case under its number."""

    def filed(case: Callable[[], None]) -> Callable[[], None]:
        assert number not in CASES
        CASES[number] = case
        return case

    return filed


@pytest.mark.parametrize("number", re.findall(r"^\| (\d+b?) \|", NOTES, re.MULTILINE))
def test_note(number: str) -> None:
    """The note holds; its words stand in docs/api-notes.md, its case below."""
    CASES[number]()


def test_every_case_has_its_note() -> None:
    """The notes are 1 to 35 with 1b, and no case is about another."""
    assert CASES.keys() == {"1b", *map(str, range(1, 36))}


# What the cases are made of.


def said(status: int, content: object = b"", **headers: str) -> Response:
    """Build an answer: bytes as they are, all else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=body)


def submitted(status: int, content: object = b"", **headers: str) -> Reading:
    """Read an answer to a submission that is clear."""
    reading = answers.upload(said(status, content, **headers), now=NOW)
    assert isinstance(reading, Reading)
    return reading


def single(answer: answers.Answer, kind: Media = Media.IMAGE) -> Results:
    """Read an answer to a GET of one identifier."""
    return answers.result(answer, media=kind, identifier="id-1", sha256=SHA256, now=NOW)


def event(kind: Media = Media.IMAGE, **fields: object) -> AnalysisEvent:
    """Return what a result with these fields means."""
    return single(said(200, fields), kind).events["id-1"]


def verdict(kind: Media = Media.IMAGE, **fields: object) -> Verdict:
    """Read a result that has a verdict beside these fields."""
    read = answers.verdict({"verdict": SAID} | fields, kind)
    assert read is not None
    return read


def many(answer: answers.Answer, *asked: str) -> Results:
    """Read an answer to a GET of several identifiers."""
    hashes = dict.fromkeys(asked, SHA256)
    return answers.results(answer, media=Media.IMAGE, asked=asked, hashes=hashes, now=NOW)


def analysis(state: AnalysisState, **fields: Any) -> Analysis:
    """Build a row."""
    return Analysis(
        id=1, sha256=SHA256, media=Media.IMAGE, mime="image/png", options="{}", size=7, noticed_at=NOW,
        state=state, **fields,
    )  # fmt: skip


def after(row: Analysis, *events: AnalysisEvent) -> Analysis:
    """Return ``row`` after these events."""
    for one in events:
        row = lifecycle.advance(row, one, NOW, POLICY)
    return row


def configured(text: str = "") -> config.Config:
    """Read a configuration of one folder."""
    return config.parse(f'[[folder]]\npath = "/srv/drop"\n{text}', Path("/etc"))


def judged(name: bytes, sniffed: str | None, size: int = 1000, text: str = "") -> object:
    """Say what becomes of a file in a folder configured by ``text``."""
    read = configured(text)
    limits = {kind: getattr(read.limits, kind.value) for kind in Media}
    return media.judge(name, sniffed, size, read.folders[0].media_policy(limits))


def options(text: str = "", kind: Media = Media.VIDEO) -> dict[str, str]:
    """Return the options that go with an upload of ``kind``."""
    folder = configured(f"[folder.options]\n{text}").folders[0]
    return config.form_options(folder.canonical_options(kind))


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def asked_by(use: Callable[[Api], object]) -> list[Asked]:
    """Return the requests that ``use`` makes of an Api, each answered 200 with an identifier."""
    arrived: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            arrived.append(Asked(self.command, self.path, headers, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"id-1")

        do_GET = do_POST = handle_any  # noqa: N815 - the names that the standard library looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api = Api(f"http://127.0.0.1:{server.server_port}", lambda: "key")
        try:
            use(api)
        finally:
            api.close()
            server.shutdown()
            thread.join()
    return arrived


def upload_of(content: bytes, **options: str) -> Callable[[Api], answers.Answer]:
    """Submit ``content`` as audio."""
    parcel = Upload(
        file=io.BytesIO(content), name="a.wav", mime="audio/wav", size=len(content), verify=lambda _: True
    )
    return lambda api: api.submit(Media.AUDIO, parcel, options)


# The notes.


@note("1")
def audio_has_a_local_limit_of_15_mb() -> None:
    """Over it: rejected here, said to be local; the API's own refusal is understood too."""
    assert isinstance(judged(b"a.wav", "wav", 15_000_000), media.Send)
    over = judged(b"a.wav", "wav", 15_000_001)
    assert isinstance(over, media.Reject)
    assert "local limit of 15,000,000 bytes" in over.reason
    assert isinstance(submitted(400, {"error": "exceeds the maximum allowed size of 50MB."}).event, Refused)


@note("1b")
def limits_are_configured() -> None:
    """Both defaults can be changed."""
    assert isinstance(judged(b"a.png", "png", 50_000_001), media.Reject)
    assert isinstance(judged(b"a.mkv", "mkv", 5_000_000_001), media.Reject)
    raised = "[limits]\nimage = 60_000_000\nvideo = 6_000_000_000"
    assert isinstance(judged(b"a.png", "png", 50_000_001, raised), media.Send)
    assert isinstance(judged(b"a.mkv", "mkv", 5_000_000_001, raised), media.Send)


@note("2")
def a_megabyte_is_decimal() -> None:
    """50 MB that are binary are over the limit."""
    assert isinstance(judged(b"a.png", "png", 50 * 1_000_000), media.Send)
    assert isinstance(judged(b"a.png", "png", 50 * 1024 * 1024), media.Reject)


@note("3")
def a_missing_status_goes_by_the_verdict() -> None:
    """Present, it is obeyed."""
    assert isinstance(event(verdict=SAID), Judged)
    assert isinstance(event(), Pending)
    assert isinstance(event(status="new", verdict=SAID), Pending)


@note("4")
def an_unknown_status_is_pending() -> None:
    """And handed on for the log."""
    read = single(said(200, {"status": "inprogress", "verdict": SAID}))
    assert Pending() == read.events["id-1"]
    assert frozenset({"inprogress"}) == read.unknown_statuses


@note("5")
def done_without_a_verdict_is_asked_for_again_thrice() -> None:
    """Then it is refused; errored is final, whatever its text."""
    malformed = event(status="done")
    assert isinstance(malformed, Malformed)
    row = after(analysis(AnalysisState.AWAITING), malformed, malformed, malformed)
    assert AnalysisState.AWAITING is row.state
    assert AnalysisState.REFUSED is after(row, malformed).state
    errored = event(status="errored", errors=None)
    assert isinstance(errored, Errored)
    assert "gave no reason" in errored.reason
    assert AnalysisState.REFUSED is after(analysis(AnalysisState.AWAITING), errored).state


@note("6")
def a_403_is_the_accounts_or_the_identifiers() -> None:
    """On a POST everything pauses; on a single GET the credits tell which it is."""
    reading = submitted(403, {"error": "Forbidden"})
    assert Reading(event=Unsent("403: Forbidden"), account=Barred(PauseReason.TERMS, "403: Forbidden")) == (
        reading
    )
    alone = single(said(403, {"error": "Forbidden"}))
    assert (True, None) == (alone.ask_account, alone.account)
    assert isinstance(answers.credits(said(403), now=NOW).account, Barred)
    row = after(analysis(AnalysisState.AWAITING), answers.lost("id-1", alone.refusal))
    assert AnalysisState.QUEUED is row.state


@note("7")
def a_400_has_three_causes() -> None:
    """Its body tells, and if it does not the credits do."""
    assert isinstance(submitted(400, {"image": ["The image field is required."]}).event, Refused)
    assert isinstance(submitted(400, {"error": "The uploaded file format is not supported."}).event, Refused)
    assert Barred is type(submitted(400, {"error": "Not enough credits"}).account)
    unclear = said(400, {"error": "Bad Request"})
    assert isinstance(answers.upload(unclear, now=NOW), AskCredits)
    empty, full = (answers.upload(unclear, now=NOW, credits=left) for left in (0.0, 7.0))
    assert isinstance(empty, Reading)
    assert isinstance(full, Reading)
    assert Barred is type(empty.account)
    assert Refused is type(full.event)


@note("8")
def a_401_pauses_the_account() -> None:
    """The row is queued as before, nothing is held against it, and the account probes later."""
    reading = submitted(401, {"error": "Unauthorized"})
    assert Barred(PauseReason.KEY, "401: Unauthorized") == reading.account
    assert reading.event is not None
    row = after(analysis(AnalysisState.SENDING), reading.event)
    assert (AnalysisState.QUEUED, 0, False) == (row.state, row.failures, row.doubt)
    paused = standing.after(Account(), Barred(PauseReason.KEY, "401"), NOW)
    assert AccountState.PAUSED is paused.state
    assert paused.next_probe_at is not None


@note("9")
def a_429_holds_everybody_as_long_as_asked() -> None:
    """Retry-After as seconds or a date; it never counts against the row."""
    by_seconds = submitted(429, {"message": "Too Many Attempts."}, retry_after="20")
    by_date = submitted(429, retry_after="Sat, 21 Nov 2026 12:00:20 GMT")
    assert Throttled(timedelta(seconds=20)) == by_seconds.account == by_date.account
    assert Unsent("429: Too Many Attempts.", counts=False) == by_seconds.event
    assert Throttled() == submitted(429).account
    held = standing.after(Account(), Throttled(timedelta(seconds=20)), NOW, chance=0)
    assert NOW + timedelta(seconds=20) == held.hold_until


@note("10")
def both_windows_are_kept() -> None:
    """A second and a minute, for POST and for GET, as sliding logs."""
    for method, per_second, per_minute in (("POST", 1, 30), ("GET", 2, 60)):
        windows = gate.Limits().windows(method)
        instants = gate.instants([], windows, NOW, 3 * per_minute)
        for count, span in ((per_second, timedelta(seconds=1)), (per_minute, timedelta(minutes=1))):
            assert all(instants[at + count] - instants[at] > span for at in range(len(instants) - count))


@note("11")
def a_bulk_answer_is_matched_by_identifier() -> None:
    """Any order; the missing are named; a batch that is refused is halved."""
    read = many(said(200, [{"identifier": "c"}, {"identifier": "a", "status": "new"}]), "a", "b", "c")
    assert {"a", "c"} == read.events.keys()
    assert ("b",) == read.missing
    assert many(said(403), "a", "b").split
    assert many(said(400), "a", "b").split


@note("12")
def a_request_line_stays_short() -> None:
    """50 identifiers of 64 digits stay under 8,192 bytes; 414 and 431 halve."""
    identifiers = [f"{at:064x}" for at in range(MOST_IDENTIFIERS)]
    [request] = asked_by(lambda api: api.results(Media.AUDIO, identifiers))
    assert len(request.path) < 8_000
    assert identifiers == [value for _, value in parse_qsl(urlsplit(request.path).query)]
    assert MOST_IDENTIFIERS == polling.AT_ONCE
    assert many(said(414), "a", "b").split
    assert many(said(431), "a", "b").split


@note("13")
def nothing_is_ever_listed() -> None:
    """Without identifiers there is no request, and strangers are passed over."""
    with pytest.raises(ValueError, match="0 identifiers"):
        Api("http://127.0.0.1:9", lambda: "key").results(Media.IMAGE, [])
    read = many(said(200, [{"identifier": "x", "verdict": SAID}]), "a", "b")
    assert ({}, ("a", "b")) == (read.events, read.missing)


@note("14")
def a_cached_result_is_anybodys() -> None:
    """Another's name and reference do not matter, and the first answer may be the verdict."""
    row = after(analysis(AnalysisState.SENDING), Uploaded("id-1", sent_name="ours.png", ref_id="ours"))
    theirs = event(status="done", verdict=SAID, name="theirs.jpg", ref_id="theirs")
    assert AnalysisState.JUDGED is after(row, theirs).state


@note("15")
def a_lost_answer_is_doubt_and_never_paid_for_anew() -> None:
    """Doubt drops no_cache for ever; what was cut before the closing boundary is not in doubt."""
    row = after(analysis(AnalysisState.QUEUED, no_cache=True), Begun())
    for answer in (Failure(reason="reset", sent=True, reached=True), said(504), said(200)):
        reading = answers.upload(answer, now=NOW)
        assert isinstance(reading, Reading)
        assert isinstance(reading.event, Deferred)
        again = after(row, reading.event, Begun())
        assert (True, False) == (again.doubt, again.no_cache)
    cut = answers.upload(Failure(reason="reset", sent=False, reached=True), now=NOW)
    assert isinstance(cut, Reading)
    assert isinstance(cut.event, Unsent)
    again = after(row, cut.event, Begun())
    assert (False, True) == (again.doubt, again.no_cache)


@note("16")
def unknown_makes_uncertain() -> None:
    """A video's own flag, or all models; else a confidence below the folder's."""
    rules = configured("min_confidence = 0.8").folders[0].routing_rules()

    def outcome(read: Verdict) -> Outcome:
        return routing.outcome(verdict=read, refusal=None, decision=None, media=Media.VIDEO, rules=rules)[0]

    assert Outcome.UNCERTAIN is outcome(verdict(Media.VIDEO, verdict=SAID | {"unknown": True}))
    assert Outcome.UNCERTAIN is outcome(verdict(results=[{"unknown": True}, {"unknown": True}]))
    assert Outcome.HUMAN is outcome(verdict(results=[{"unknown": True}, {"unknown": False}]))
    assert Outcome.UNCERTAIN is outcome(verdict(verdict=SAID | {"confidence": 0.7}))


@note("17")
def a_forced_label_wins_and_both_are_kept() -> None:
    """The outcome is the forced label's, and its reason says so."""
    read = verdict(force_classification="artificial")
    assert (Label.HUMAN, Label.ARTIFICIAL) == (read.classification, read.forced)
    rules = configured().folders[0].routing_rules()
    outcome, reason = routing.outcome(
        verdict=read, refusal=None, decision=None, media=Media.IMAGE, rules=rules
    )
    assert Outcome.ARTIFICIAL is outcome
    assert reason is not None
    assert "forced" in reason


@note("18")
def a_signature_forces_nothing_by_default() -> None:
    """Our default says so to the API; the manifest is kept, and none is normal."""
    for kind in Media:
        assert "true" == options(kind=kind)["prevent_c2pa_forces"]
    assert "prevent_c2pa_forces" not in options("prevent_c2pa_forces = false")
    assert verdict(c2pa=None).c2pa is None
    expected = Provenance(state="Valid", issuer=None, digital_source_type=None)
    assert expected == verdict(c2pa={"validation_state": "Valid"}).c2pa


@note("19")
def shapes_differ_by_kind() -> None:
    """Objects, arrays and arrays of arrays are read, and none of another shape costs the verdict."""
    shapes: list[object] = [None, [], {}, "x", [[{"unknown": True}]], {"images": [[{"unknown": True}]]}]
    for kind in Media:
        for shape in shapes:
            read = verdict(kind, results=shape, details=shape, chunk_details=shape)
            assert Label.HUMAN is read.classification
    assert verdict(Media.VIDEO, results={"images": [[{"unknown": True}]]}).unknown


@note("20")
def frames_need_no_details() -> None:
    """With or without them the video's verdict is the same."""
    frame = {"status": "done", "verdict": SAID, "results": [{"unknown": False}]}
    plain = verdict(Media.VIDEO, results={"images": [frame]})
    detailed = verdict(Media.VIDEO, results={"images": [frame | {"details": [{"detections": []}]}]})
    assert plain == detailed


@note("21")
def the_method_of_key_frames_is_sent_only_if_set() -> None:
    """And spelt as the newest page has it."""
    assert "key_frames_method" not in options()
    assert "key_frames_method" not in options('key_frames_method = "iframes"')
    assert "flow" == options('key_frames_method = "flow"')["key_frames_method"]
    with pytest.raises(ConfigError):
        options('key_frames_method = "iframe"')


@note("22")
def any_number_of_frames_is_right() -> None:
    """More or fewer than asked for: the verdict stands."""
    assert "10" == options("frames = 10")["frames"]
    for count in (0, 3, 40):
        frames = [{"results": [{"unknown": False}]}] * count
        assert Label.HUMAN is verdict(Media.VIDEO, results={"images": frames}).classification


@note("23")
def mp4_is_what_the_folder_says() -> None:
    """Video by default, audio if configured; likewise 3gp."""
    for name, form in ((b"a.mp4", "mp4"), (b"a.3gp", "3gp")):
        as_video, as_audio = judged(name, form), judged(name, form, text='mp4_as = "audio"')
        assert isinstance(as_video, media.Send)
        assert isinstance(as_audio, media.Send)
        assert (Media.VIDEO, Media.AUDIO) == (as_video.media, as_audio.media)


@note("24")
def mime_names_are_the_documented_ones() -> None:
    """Every image and every audio format is sent under a name of the vendor's pages, every video as video/*."""
    images = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff"}
    audios = {
        f"audio/{name}" for name in ("mpeg", "wav", "ogg", "flac", "aac", "3gp", "m4a", "m4b", "m4p", "m4r")
    }
    for form in media.FORMATS.values():
        if form.mime is not None and form.media is Media.IMAGE:
            assert form.mime in images
        elif form.mime is not None and form.media is Media.AUDIO:
            assert form.mime in audios
        elif form.mime is not None:
            assert form.mime.startswith("video/")
        assert form.audio_mime is None or form.audio_mime in audios | {"video/mp4"}


@note("25")
def an_identifier_may_come_as_text() -> None:
    """JSON is asked for; an empty answer is doubt."""
    [request] = asked_by(upload_of(b"x"))
    assert "application/json" == request.headers["accept"]
    for body in (b'{"identifier": "id-1"}', b'"id-1"', b"id-1\n"):
        assert Uploaded("id-1") == submitted(200, body).event
    for body in (b"", b'""', b'{"identifier": ""}'):
        assert isinstance(submitted(200, body).event, Deferred)


@note("26")
def an_error_may_be_html() -> None:
    """It is read by its status; its first characters are the reason, escaped."""
    reading = submitted(502, b"<html>\x1b[31m" + b"x" * 10_000)
    assert isinstance(reading.event, Deferred)
    assert reading.event.reason.startswith(r"502: <html>\x1b[31m")
    assert len(reading.event.reason) <= 310


@note("27")
def what_is_undocumented_is_bounded() -> None:
    """413 is final; gateways hold everybody; a 500 holds the row, and only one that others outrun is stuck."""
    assert isinstance(submitted(413, b"<html>").event, Refused)
    for status in (502, 503, 504):
        assert isinstance(submitted(status).account, Unreachable)
    reading = submitted(500)
    assert reading.account is None
    assert isinstance(reading.event, Deferred)
    assert reading.event.counts
    row = analysis(AnalysisState.SENDING)
    others = lifecycle.Policy(others_at=NOW + timedelta(minutes=1))
    for _ in range(5):
        row = lifecycle.advance(row, reading.event, NOW, others)
        stuck, row = row.stuck_at is not None, lifecycle.advance(row, Begun(), NOW, others)
    assert stuck
    unanswered = single(said(500)).events["id-1"]
    assert isinstance(unanswered, Unanswered)


@note("28")
def an_upload_is_streamed_with_its_length() -> None:
    """The length is known beforehand, and no more than a block of it is read at once."""
    content = bytes(3_500_000)
    blocks: list[int] = []
    parcel = Upload(
        file=io.BytesIO(content),
        name="a.wav",
        mime="audio/wav",
        size=len(content),
        verify=lambda _: True,
        progress=blocks.append,
    )
    [request] = asked_by(lambda api: api.submit(Media.AUDIO, parcel, {}))
    assert "transfer-encoding" not in request.headers
    assert len(request.body) == int(request.headers["content-length"])
    assert len(content) == sum(blocks)
    assert max(blocks) <= 1024 * 1024


@note("29")
def with_nsfw_is_an_option() -> None:
    """Off by default; refused by name, it is the folder's matter to change; a null is not asked."""
    assert "with_nsfw" not in options(kind=Media.IMAGE)
    assert "true" == options("with_nsfw = true", Media.IMAGE)["with_nsfw"]
    reading = submitted(400, {"with_nsfw": ["The with nsfw field is prohibited."]})
    assert "option of the folder, not the file: with_nsfw" in cast("Refused", reading.event).reason
    assert [None, None, False] == [
        verdict().nsfw, verdict(is_nsfw=None).nsfw, verdict(is_nsfw=False).nsfw,
    ]  # fmt: skip


@note("30")
def a_heatmap_may_be_missing() -> None:
    """Only true means there is one; what is no PNG is a reason, never a failure of the file."""
    assert [False, False, True] == [
        verdict().has_heatmap, verdict(has_heatmap=None).has_heatmap, verdict(has_heatmap=True).has_heatmap,
    ]  # fmt: skip
    assert answers.heatmap(said(200, b"\x89PNG\r\n\x1a\n"), now=NOW).png is not None
    for answer in (said(200, b"<html>"), said(404), said(500)):
        read = answers.heatmap(answer, now=NOW)
        assert read.png is None
        assert read.why is not None


@note("31")
def audio_has_an_address_of_its_own() -> None:
    """Never the images'."""
    [request] = asked_by(lambda api: api.result(Media.AUDIO, "id-1"))
    assert "/api/classification_audio/id-1" == request.path


@note("32")
def optional_fields_are_optional() -> None:
    """Missing, null or of another kind."""
    for value in (None, 7, []):
        read = event(status="done", verdict=SAID, result_url=value, ref_id=value, errors=value)
        assert isinstance(read, Judged)
        assert read.verdict.result_url is None


@note("33")
def one_host_serves_all() -> None:
    """Each request goes to the configured address."""

    def use(api: Api) -> None:
        for kind in Media:
            api.result(kind, "id-1")
            api.results(kind, ["id-1"])
            api.override(kind, "ab" * 32, Label.HUMAN)
        api.heatmap("id-1")
        api.credits()

    requests = asked_by(use)
    assert 11 == len(requests)
    assert all(request.path.startswith("/api/") and "/v2/" not in request.path for request in requests)


@note("34")
def an_identifier_is_opaque() -> None:
    """Any form is taken and encoded, but for one that would change the address."""
    [request] = asked_by(lambda api: api.result(Media.IMAGE, "ä:%2F+&=~"))
    assert "/api/classification/%C3%A4%3A%252F%2B%26%3D~" == request.path
    for identifier in ("a/b", "..", "a?b", "a b", "a\x00", "x" * 256):
        assert isinstance(submitted(200, {"identifier": identifier}).event, Deferred)
        with pytest.raises(ValueError, match="no identifier"):
            Api("http://127.0.0.1:9", lambda: "key").result(Media.IMAGE, identifier)


@note("35")
def the_hash_must_be_ours() -> None:
    """If not, it is submitted once more, then refused with both hashes."""
    assert isinstance(event(status="done", verdict=SAID, hash=SHA256.hex()), Judged)
    assert isinstance(event(status="done", verdict=SAID), Judged)
    mismatch = event(status="done", verdict=SAID, hash="00" * 32)
    assert isinstance(mismatch, Mismatched)
    row = after(analysis(AnalysisState.AWAITING), mismatch)
    assert AnalysisState.QUEUED is row.state
    row = after(row, Begun(), Uploaded("id-2"), mismatch)
    assert AnalysisState.REFUSED is row.state
    assert row.reason is not None
    assert "00" * 32 in row.reason
    assert SHA256.hex() in row.reason


def test_a_healthy_answer_clears_the_hold() -> None:
    """What a 2xx means for the account does not depend on what was asked."""
    assert Healthy() == single(said(200, {})).account == many(said(200, []), "a", "b").account
