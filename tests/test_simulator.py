"""The simulator's endpoints; each answer is held against the OpenAPI document."""

import hashlib
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate as validate_document
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from identifai_watch.core.model import Media
from identifai_watch.simulator import (
    DOCUMENTED_LIMITS,
    Endpoint,
    Fault,
    FaultKind,
    Limits,
    Script,
    Simulator,
)
from tests.checked_client import HEADERS, SUFFIX, Client
from tests.openapi_check import document

# Not among them: that whatever fits the schema is accepted. Random bytes are no picture.
CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One simulator for the module; each test finds it as new."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    """A client of the simulator."""
    simulator.restart()
    with requests.Session() as session:
        yield Client(simulator, session)


# Submissions.


def test_the_identifier_comes_as_text_unless_json_is_accepted(client: Client) -> None:
    """`Accept: application/json` gives an object, anything else the bare identifier."""
    client.session.headers["Accept"] = "*/*"
    plain = client.submit(b"plain")
    assert plain.headers["Content-Type"].startswith("text/plain")
    client.session.headers["Accept"] = "application/json"
    assert {"identifier": plain.text} == client.submit(b"plain").json()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mime": "text/plain"}, {"error": "The uploaded file format is not supported."}),
        ({"content": b""}, {"error": "The uploaded file format is not supported."}),
        ({"content": bytes(101)}, {"error": "The uploaded file exceeds the maximum allowed size of 50MB."}),
        ({"frames": "7", "media": Media.VIDEO}, {"frames": ["The selected frames is invalid."]}),
        ({"with_nsfw": "true"}, {"with_nsfw": ["The with nsfw field is prohibited."]}),
    ],
)
def test_what_is_wrong_with_a_file_or_a_field_is_a_400(client: Client, given: dict, expected: dict) -> None:
    """Format and size are one `error`, fields a list each; nothing of it is charged."""
    client.simulator.change(max_bytes={Media.IMAGE: 100}, refused_fields=("with_nsfw",))
    answer = client.submit(**{"content": b"content", **given})
    assert (400, expected) == (answer.status_code, answer.json())
    assert client.simulator.state.charged == ()


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"with_morphing": "true"}},
        {"data": b"no form at all"},
        {"files": {"video": ("a", b"a", "image/png")}},
        {"data": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b"", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": b"", "headers": {"Content-Type": f"multipart/form-data; boundary={'x' * 5000}"}},
    ],
)
def test_a_form_without_the_file_is_told_so(client: Client, given: dict) -> None:
    """Whatever else arrives, broken or under another name, the file's field is required."""
    answer = client.post("/api/classification", **given)
    assert (answer.status_code, answer.json()) == (400, {"image": ["The image field is required."]})


def test_the_same_content_with_the_same_options_is_charged_once(client: Client) -> None:
    """A repeat gives the first analysis with the first name and reference; other options are another analysis."""
    first = client.result(b"twice", name="first.jpg", ref_id="1")
    again = client.result(b"twice", name="again.jpg", ref_id="2")
    assert first == again
    other = client.result(b"twice", with_tampering="true")
    assert other["identifier"] != first["identifier"]
    assert len(client.simulator.state.charged) == 2


def test_no_cache_is_fresh_and_charged(client: Client) -> None:
    """`no_cache` makes a new analysis, and a later repeat without it finds the newest."""
    first = client.submit(b"fresh").json()
    fresh = client.submit(b"fresh", no_cache="true").json()
    assert first != fresh
    assert fresh == client.submit(b"fresh").json()
    assert [submission.no_cache for submission in client.simulator.state.charged] == [False, True]


def test_the_reference_can_be_part_of_the_cache_key(client: Client) -> None:
    """Whether it is one is not documented, so it is a switch."""
    client.simulator.change(ref_id_in_cache_key=True)
    assert client.submit(b"x", ref_id="1").json() != client.submit(b"x", ref_id="2").json()


def test_what_was_charged_is_told_as_it_was_sent(client: Client) -> None:
    """Tests can look at the name, MIME name, size and options of each upload."""
    client.submit(b"seen", name="häfen.jpg", with_heatmap="true", webhook_url="https://x.invalid", ref_id="r")
    (seen,) = client.simulator.state.charged
    assert (seen.name, seen.mime, seen.size, seen.ref_id) == ("häfen.jpg", "image/jpeg", 4, "r")
    assert seen.options == {"with_heatmap": "true"}


def test_a_url_is_never_fetched(client: Client) -> None:
    """The from-URL forms check their fields and then say that the file could not be fetched."""
    missing = client.post("/api/image_fromurl", files={"frames": (None, "5")})
    assert missing.json() == {"file_url": ["The file url field is required."]}
    given = client.post("/api/video_fromurl", files={"file_url": (None, "https://x.invalid/a.mp4")})
    assert (given.status_code, given.json()) == (400, {"error": "The file could not be fetched."})


def test_an_upload_takes_no_memory(client: Client) -> None:
    """A file of 96 MB passes through without growing the process by a tenth of it."""
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\nContent-Type: video/mp4\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    mebibyte = bytes(1 << 20)

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(96):
            yield mebibyte
        yield b"\r\n--b--\r\n"

    client.submit(b"warm", Media.VIDEO)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert client.post("/api/classification_video", data=body(), headers=headers).status_code == 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 9_000
    assert client.simulator.state.charged[-1].size == 96 << 20


def test_an_upload_that_is_cut_before_its_end_is_not_charged(client: Client) -> None:
    """Without its closing boundary nothing arrived."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="v"\r\nContent-Type: image/png\r\n\r\n'
    port = int(client.simulator.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as cut:
        cut.sendall(
            b"POST /api/classification HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nContent-Length: 500\r\n"
        )
        cut.sendall(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + head + b"content")
        assert client.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1)
    assert client.simulator.state.wait_for(lambda state: len(state.requests) == 1)
    assert client.simulator.state.requests[0].status is None
    assert client.simulator.state.charged == ()


# Results in bulk, heatmaps, overrides, credits.


@pytest.mark.parametrize("media", Media)
def test_bulk_results_leave_out_what_is_unknown(client: Client, media: Media) -> None:
    """Each known identifier comes once, whatever the order and however often it was asked for."""
    known = [client.submit(b"%d" % number, media).json()["identifier"] for number in range(5)]
    answer = client.results([*known, known[0], "unknown"], media)
    assert sorted(known) == sorted(result["identifier"] for result in answer.json())


def test_bulk_results_do_not_keep_the_askers_order(client: Client) -> None:
    """The order is not documented, so it is never the one that was asked for."""
    known = [client.submit(b"%d" % number).json()["identifier"] for number in range(20)]
    assert known != [result["identifier"] for result in client.results(known).json()]


def test_bulk_results_can_be_refused_as_a_whole(client: Client) -> None:
    """One unknown identifier may spoil the batch; over 100 or none is wrong; a long line is refused."""
    known = client.submit(b"known").json()["identifier"]
    client.simulator.change(unknown_in_bulk="403")
    assert client.results([known]).status_code == 200
    assert client.results([known, "unknown"]).status_code == 403
    assert client.results([]).status_code == 400
    assert client.results(["x"] * 101).status_code == 400
    assert client.results(["x" * 64] * 100).status_code == 414


@pytest.mark.parametrize(
    "path", ["/api/classification/", "/api/classification_audio/", "/api/classification/heatmap/"]
)
def test_an_unknown_identifier_is_forbidden(client: Client, path: str) -> None:
    """There is no 404; an image's identifier is unknown among the audios."""
    answer = client.get(path + client.submit(b"v", Media.VIDEO).json()["identifier"])
    assert (answer.status_code, answer.json()) == (403, {"error": "Forbidden"})


def test_the_aliases_answer_alike(client: Client) -> None:
    """The image endpoints have a second name each."""
    identifier = client.submit(b"alias", with_heatmap="true").json()["identifier"]
    for path in ("", "heatmap/"):
        one = client.get(f"/api/classification/{path}{identifier}").content
        assert one == client.get(f"/api/classification_image/{path}{identifier}").content
    query = urlencode({"identifiers[]": identifier})
    assert client.results([identifier]).json() == client.get(f"/api/classifications_image?{query}").json()


def test_a_heatmap_is_there_only_if_it_was_asked_for(client: Client) -> None:
    """With with_heatmap a PNG, else has_heatmap is false and the picture forbidden."""
    without, with_it = client.result(b"map"), client.result(b"map", with_heatmap="true")
    assert (without["has_heatmap"], with_it["has_heatmap"]) == (False, True)
    heatmap = client.get(f"/api/classification/heatmap/{with_it['identifier']}")
    assert heatmap.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert client.get(f"/api/classification/heatmap/{without['identifier']}").status_code == 403


@pytest.mark.parametrize("media", Media)
def test_an_override_forces_every_result_of_the_bytes(client: Client, media: Media) -> None:
    """It goes by the file's hash and media; a hash that never came is forbidden, another label wrong."""
    sha256 = hashlib.sha256(b"forced").hexdigest()
    path = f"/api/classification{SUFFIX[media]}/{sha256}/override"
    assert client.post(path, json={"classification": "human"}).status_code == 403
    assert client.result(b"forced", media)["force_classification"] is None
    stored = client.post(path, json={"classification": "human"})
    assert {"classification": "human", "type": media, "hash": sha256} == stored.json()
    assert client.result(b"forced", media)["force_classification"] == "human"
    assert client.result(b"forced", media, no_cache="true")["force_classification"] == "human"
    assert client.post(path, json={"classification": "both"}).status_code == 400
    assert client.post(path, data=b"\xff").status_code == 400
    other = path.replace(sha256, "no-hash")
    assert client.post(other, json={"classification": "human"}).status_code == 403


def test_credits_run_out_and_come_back(client: Client) -> None:
    """Each analysis costs 1; without credits a submission is a 400 in the script's words, a repeat is free."""
    client.simulator.change(credits=1, credits_body={"error": "Top up your balance."})
    client.submit(b"paid")
    assert client.get("/api/user/credits").json() == {"available_credits": 0, "total_spent": 1}
    refused = client.submit(b"unpaid")
    assert (refused.status_code, refused.json()) == (400, {"error": "Top up your balance."})
    assert client.submit(b"paid").status_code == 200
    client.simulator.change(credits=2)
    assert client.submit(b"unpaid").status_code == 200


# The simulator as a program.


def test_another_process_scripts_it_over_http(client: Client) -> None:
    """POST /simulator/script changes what it names, GET /simulator/state tells what came of it."""
    changed = client.post(
        "/simulator/script", json={"credits": 3, "faults": [{"kind": "html", "match": "results"}]}
    )
    assert changed.json() == client.get("/simulator/script").json()
    assert client.simulator.script == Script(
        credits=3, faults=(Fault(kind=FaultKind.HTML, match=Endpoint.RESULTS),)
    )
    before = time.monotonic()
    client.submit(b"seen", name="seen.jpg")
    state = client.get("/simulator/state").json()
    assert before <= state["charged"][0]["at"] <= time.monotonic()
    assert state["credits"] == {"left": 2.0, "spent": 1}
    assert state["requests"]["upload"] == 1
    assert [(one["name"], one["media"]) for one in state["charged"]] == [("seen.jpg", "image")]


@pytest.mark.parametrize("wrong", [{"creits": 1}, {"faults": [{"kind": "rain"}]}, {"delay": -1}, []])
def test_a_wrong_script_changes_nothing(client: Client, wrong: object) -> None:
    """An unknown field or a wrong value is told, and the script stays."""
    assert client.post("/simulator/script", json=wrong).status_code == 400
    assert client.simulator.script == Script()


def test_the_documented_limits_are_the_vendors() -> None:
    """Two GETs a second and 60 a minute, one POST a second and 30 a minute."""
    expected = Limits(posts_per_second=1, posts_per_minute=30, gets_per_second=2, gets_per_minute=60)
    assert expected == DOCUMENTED_LIMITS


def test_the_openapi_document_is_valid_and_served(client: Client) -> None:
    """The document that the answers are held against is the one that the simulator shows."""
    validate_document(document())
    served = requests.get(client.simulator.url + "/openapi.yaml", timeout=10)
    assert "/api/classification_audio/{identifier}" in served.text


def test_it_ends_on_ctrl_c_without_a_traceback() -> None:
    """`serve` announces its URL, serves, and ends with status 0 when it is interrupted."""
    program = "from identifai_watch.simulator import *; serve('127.0.0.1', 0, Script(), announce=lambda u: print(u, flush=True))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        credits_left = requests.get(f"{url}/api/user/credits", headers=HEADERS, timeout=10).json()
        assert credits_left["total_spent"] == 0
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, b"")


def test_stopping_cuts_what_stalls() -> None:
    """A simulator that holds an answer back for an hour stops at once all the same."""
    simulator = Simulator(Script(faults=(Fault(kind=FaultKind.STALL, seconds=3600),)))
    port = int(simulator.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as waiting:
        waiting.sendall(b"GET /api/user/credits HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\n\r\n")
        assert simulator.state.wait_for(lambda state: state.arrived(Endpoint.CREDITS) == 1)
        simulator.stop()
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)


def test_a_restart_forgets_everything_but_the_address(client: Client) -> None:
    """What was submitted, spent, recorded and scripted is gone; the connection is the same."""
    client.simulator.change(credits=5, key="any")
    identifier = client.submit(b"before").json()["identifier"]
    client.simulator.restart()
    assert (client.simulator.script, client.simulator.state.charged) == (Script(), ())
    assert client.get(f"/api/classification/{identifier}").status_code == 403
    assert client.simulator.state.count() == 1


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, methods in document()["paths"].items() for method in methods],
)
def test_whatever_is_sent_the_answer_is_a_documented_one(
    simulator: Simulator, path: str, method: str
) -> None:
    """Generated requests to every operation get answers that the document allows, and never a server error."""
    operation = schemathesis.openapi.from_dict(document())[path][method.upper()]

    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=simulator.url, headers=HEADERS, checks=CONFORMANCE)

    call()
