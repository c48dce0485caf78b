"""What machines ask of the page: answers that are as the OpenAPI document says, health, metrics."""

import hashlib
import json
from collections.abc import Iterator

import pytest
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

from identifai_watch.core.model import Label
from identifai_watch.simulator import Script, Scripted, Signature
from tests.browsing import HOST, Browser, served
from tests.console import at
from tests.harness import MEDIA, House, house

JPEG = hashlib.sha256((MEDIA / "sample.jpg").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house with a judged picture and its copy, a decision, a refusal and a file that is left to be judged."""
    generated = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    verdict = Scripted(
        sha256=JPEG,
        classification=Label.HUMAN,
        confidence=0.75,
        signature=Signature(digital_source_type=generated),
    )
    with house(
        tmp_path_factory.mktemp("machines"), Script(verdicts=(verdict, Scripted(media="image", errors="no")))
    ) as one:
        for name in ("a.jpg", "b.jpg"):
            one.put("sample.jpg", name)
        one.put("sample.png")
        one.put("sample.wav")
        assert at(one, "once").status in {0, 1}
        assert 0 == at(one, "decide", str(one.drop / "b.jpg"), "artificial", "--reason", "six fingers").status
        yield one


@pytest.fixture(scope="module")
def browser(home: House) -> Iterator[Browser]:
    """Give what asks the page of that house."""
    with served(home, node=HOST) as one:
        yield one


@pytest.fixture(scope="module")
def described(browser: Browser) -> OpenAPI:
    """Give the document that the page itself hands out, which is checked as it is read."""
    return OpenAPI.from_dict(browser.json("/api/v1/openapi.json"))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/v1/verdicts/{JPEG}", 200),
        (f"/api/v1/verdicts/{JPEG.upper()}", 200),
        (f"/api/v1/verdicts/{'0' * 64}", 404),
        ("/api/v1/files", 200),
        ("/api/v1/files?limit=1&media=image&decision=artificial", 200),
        ("/api/v1/files?limit=2&after=1-1", 200),
        ("/api/v1/files?outcome=rejected", 200),
    ],
)
def test_answers_are_as_they_are_described(
    browser: Browser, described: OpenAPI, path: str, status: int
) -> None:
    """Request and answer both pass the OpenAPI document, in every field."""
    answer = browser.get(path, Accept="application/json")
    assert status == answer.status_code
    described.validate_request(RequestsOpenAPIRequest(answer.request))
    described.validate_response(RequestsOpenAPIRequest(answer.request), RequestsOpenAPIResponse(answer))


def test_every_field_is_described(browser: Browser) -> None:
    """A field that an answer has and the document has not would be nobody's to rely on; a ledger of one host names none."""
    document = browser.json("/api/v1/openapi.json")
    known = set(document["components"]["schemas"]["File"]["properties"])
    for one in browser.json("/api/v1/files")["files"]:
        assert known - {"node"} == set(one)


def test_a_verdict_is_found_by_its_content(browser: Browser) -> None:
    """An asset manager asks by the hash that it has; every file with it is told, with the desk's decision."""
    told = browser.json(f"/api/v1/verdicts/{JPEG}")
    assert JPEG == told["sha256"]
    by_path = {one["path"]: one for one in told["files"]}
    assert {"a.jpg", "b.jpg"} == set(by_path)
    assert ("none found", 0.75, "human") == tuple(
        by_path["b.jpg"]["verdict"][name] if name == "classification" else by_path["b.jpg"][name]
        for name in ("signs", "confidence", "classification")
    )
    assert {"choice": "artificial", "reason": "six fingers"}.items() <= by_path["b.jpg"]["decision"].items()
    assert "Valid" == by_path["a.jpg"]["verdict"]["c2pa"]["state"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/verdicts/abc", "/api/v1/files?limit=0", "/api/v1/files?limit=501", "/api/v1/files?limit=x"],
)
def test_a_wrong_question_is_answered_in_json(browser: Browser, path: str) -> None:
    """What cannot be answered is refused with the reason, as JSON."""
    answer = browser.get(path)
    assert (400, ["error"]) == (answer.status_code, list(answer.json()))


def test_metrics_are_those_of_status(home: House, browser: Browser) -> None:
    """The page answers what ``status --metrics`` prints."""
    printed = at(home, "status", "--metrics").out
    answer = browser.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert _names(printed) == _names(answer.text)
    assert "identifai_watch_up 0.0" in answer.text


def _names(text: str) -> set[str]:
    return {line.partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_health_is_the_daemons(home: House, browser: Browser) -> None:
    """Without a daemon /healthz is 503; with one that turns it is 200, under whatever name it is asked."""
    assert 503 == browser.get("/healthz", Host="10.0.0.9:1").status_code
    with home.daemon(node=HOST):
        assert 200 == browser.get("/healthz", Host="probe.internal").status_code
    assert 503 == browser.get("/healthz").status_code


def test_the_document_is_json_that_ships(browser: Browser) -> None:
    """The document says which paths there are, and each of them is answered."""
    document = json.loads(browser.get("/api/v1/openapi.json").text)
    assert {
        "/api/v1/verdicts/{sha256}",
        "/api/v1/files",
        "/api/v1/costs",
        "/api/v1/quality",
    } == set(document["paths"])
