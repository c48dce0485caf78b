"""What the simulator makes of contents: decided by the hash, bent by the script, shaped as documented."""

import hashlib
from collections.abc import Iterator

import pytest
import requests

from identifai_watch.core.model import Label, Media
from identifai_watch.simulator import (
    Scripted,
    Signature,
    Simulator,
    judge,
)
from tests.checked_client import SUFFIX, Client


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


@pytest.mark.parametrize("media", Media)
def test_an_analysis_is_new_until_its_delay_is_over(client: Client, media: Media) -> None:
    """The first looks find `new` without a verdict; the result is done as soon as the delay is."""
    client.simulator.change(delay={media: 3600})
    pending = client.result(b"slow", media, ref_id="ref")
    assert pending["status"] == "new"
    assert "verdict" not in pending
    client.simulator.change(delay=0)
    done = client.get(f"/api/classification{SUFFIX[media]}/{pending['identifier']}").json()
    assert done["status"] == "done"
    assert done["hash"] == hashlib.sha256(b"slow").hexdigest()
    assert done["ref_id"] == "ref"


@pytest.mark.parametrize("media", Media)
def test_a_verdict_follows_from_the_hash_and_says_that_it_is_simulated(client: Client, media: Media) -> None:
    """The label and confidence are `judge`'s; model names and URL give the simulation away."""
    expected = judge(hashlib.sha256(b"content").digest())
    done = client.result(b"content", media)
    assert expected.label == done["verdict"]["classification"]
    assert expected.confidence == done["verdict"]["confidence"]
    assert done["verdict"]["heuristic"] == "Majority"
    assert all("simulated" in model for model in done["verdict"]["models"])
    assert "/simulated/" in done["result_url"]


def test_verdicts_spread_over_all_three_answers() -> None:
    """Of 1,000 contents each answer gets its share: human 45, artificial 40, unknown 15 in 100."""
    judgements = [judge(hashlib.sha256(b"%d" % number).digest()) for number in range(1000)]
    known = [judgement.label for judgement in judgements if not judgement.unknown]
    assert 400 < known.count(Label.HUMAN) < 500
    assert 350 < known.count(Label.ARTIFICIAL) < 450
    assert 100 < len(judgements) - len(known) < 200


def test_each_kind_has_the_shape_that_its_page_shows(client: Client) -> None:
    """Results are an array, but an object for video; details an array for images, an object for audio."""
    image, video, audio = (
        client.result(b"shape", media) for media in (Media.IMAGE, Media.VIDEO, Media.AUDIO)
    )
    assert isinstance(image["results"], list)
    assert isinstance(image["details"], list)
    assert {"images", "audios"} == set(video["results"])
    assert "details" not in video
    assert {"clips"} == set(audio["details"])
    assert "c2pa" not in audio


def test_frames_and_nsfw_are_there_when_asked_for(client: Client) -> None:
    """`frames` sets how many frames are judged; `is_nsfw` is null unless with_nsfw was sent."""
    asked = client.result(b"film", Media.VIDEO, frames="10", with_nsfw="true")
    assert len(asked["results"]["images"]) == 10
    assert asked["is_nsfw"] is False
    assert client.result(b"film", Media.VIDEO)["is_nsfw"] is None


def test_a_signature_forces_artificial_unless_that_is_prevented(client: Client) -> None:
    """As documented, any C2PA signature makes artificial; prevent_c2pa_forces leaves the models' label."""
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    signed = Scripted(
        classification=Label.HUMAN, signature=Signature(issuer="Leica", digital_source_type=kind)
    )
    client.simulator.change(verdicts=(signed,))
    assert client.result(b"signed")["verdict"]["classification"] == "artificial"
    prevented = client.result(b"signed", prevent_c2pa_forces="true")
    assert prevented["verdict"]["classification"] == "human"
    manifest = prevented["c2pa"]["manifests"][prevented["c2pa"]["active_manifest"]]
    assert manifest["signature_info"]["issuer"] == "Leica"
    assert manifest["assertions"][0]["data"]["actions"][0]["digitalSourceType"] == kind


def test_a_scripted_verdict_goes_by_hash_name_and_media(client: Client) -> None:
    """The first entry that matches decides; what it leaves open stays the hash's."""
    client.simulator.change(
        verdicts=(
            Scripted(sha256=hashlib.sha256(b"one").hexdigest(), errors="cannot be read"),
            Scripted(
                name="*.mp3", media=Media.AUDIO, classification=Label.ARTIFICIAL, confidence=0.5, unknown=True
            ),
        )
    )
    errored = client.result(b"one")
    assert (errored["status"], errored["errors"]) == ("errored", "cannot be read")
    unknown = client.result(b"two", Media.AUDIO, name="x.mp3")
    assert unknown["verdict"]["confidence"] == 0.5
    assert all(result["unknown"] for result in unknown["results"])
    assert client.result(b"three", Media.AUDIO, name="x.wav")["status"] == "done"


def test_a_script_can_bend_the_result_into_any_shape(client: Client) -> None:
    """A wrong hash, an unknown status and a missing verdict are one field each."""
    client.is_checked = False
    client.simulator.change(
        verdicts=(
            Scripted(fields={"hash": "00", "status": "inprogress", "details": "none"}, without=("verdict",)),
        )
    )
    bent = client.result(b"bent")
    assert (bent["hash"], bent["status"], bent["details"]) == ("00", "inprogress", "none")
    assert "verdict" not in bent


def test_before_1_1_there_is_no_status(client: Client) -> None:
    """The older API says neither status nor errors nor api_version, only the verdict when it is there."""
    client.simulator.change(pre_1_1=True)
    old = client.result(b"old")
    assert not {"status", "errors", "api_version"} & set(old)
    assert "verdict" in old
