"""The main job: one file of every format that identifAI takes, from the drop folder to its sidecar."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from identifai_watch.core.model import Media
from identifai_watch.simulator import judge
from tests.harness import MEDIA, house, wait_for

IMAGES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
} | {
    "tif": "image/tiff",
    "tiff": "image/tiff",
}
VIDEOS = (
    "mp4",
    "mov",
    "m4v",
    "webm",
    "mkv",
    "avi",
    "mpg",
    "mpeg",
    "ts",
    "m2ts",
    "3gp",
    "mxf",
    "wmv",
    "flv",
    "ogv",
)
AUDIOS = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "m4a": "audio/m4a",
    "m4b": "audio/m4b",
    "m4p": "audio/m4p",
    "m4r": "audio/m4r",
}
NOT_TAKEN = ("cr2", "cr3", "nef", "arw", "dng", "raf", "rw2", "orf", "pef", "heic", "avif", "bmp", "wma")


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    """The JSON Schema of the sidecar, as it ships in the package."""
    text = (files("identifai_watch") / "schema" / "sidecar.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, object] = json.loads(text)
    return loaded


def expected_outcome(content: bytes) -> str:
    """Return what the pretend identifAI judges of these bytes."""
    judgement = judge(hashlib.sha256(content).digest())
    return "uncertain" if judgement.unknown else str(judgement.label)


def test_every_format_gets_its_sidecar(tmp_path: Path, schema: dict[str, object]) -> None:
    """One file of every format is dropped on the real daemon process, and every sidecar is right."""
    taken = {f"sample.{ending}" for ending in (*IMAGES, *VIDEOS, *AUDIOS)}
    with house(tmp_path) as home, home.process():
        for name in sorted(taken) + [f"sample.{ending}" for ending in NOT_TAKEN]:
            home.put(name)
        wait_for(lambda: len(home.sidecars()) >= len(taken), "every sidecar", 60)
        sidecars = home.sidecars()
        sent = {submission.sha256: submission for submission in home.simulator.state.charged}

    assert taken == set(sidecars)
    for name, sidecar in sidecars.items():
        content = (MEDIA / name).read_bytes()
        ending = name.rpartition(".")[2]
        media = Media.IMAGE if ending in IMAGES else Media.AUDIO if ending in AUDIOS else Media.VIDEO
        submission = sent[hashlib.sha256(content).digest()]
        jsonschema.validate(sidecar, schema)
        assert name == sidecar["file"]["name"]
        assert len(content) == sidecar["file"]["size"]
        assert hashlib.sha256(content).hexdigest() == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
        assert media == sidecar["file"]["media"] == submission.media
        assert expected_outcome(content) == sidecar["outcome"]
        assert submission.identifier == sidecar["analysis"]["identifier"] == sidecar["response"]["identifier"]
        assert (IMAGES | AUDIOS).get(ending, submission.mime) == submission.mime
        assert media is not Media.VIDEO or submission.mime.startswith("video/")
        assert content == (tmp_path / "drop" / name).read_bytes()
    assert len(taken) == len(home.simulator.state.charged)


def test_mp4_and_3gp_are_audio_where_the_folder_says_so(tmp_path: Path) -> None:
    """``mp4_as = "audio"`` sends .mp4 and .3gp as audio, under the documented names."""
    with house(tmp_path, folder={"mp4_as": "audio"}) as home, home.process():
        paths = [home.put("sample-audio.mp4"), home.put("sample-audio.3gp")]
        media = [home.sidecar(path)["file"]["media"] for path in paths]
        sent = sorted(submission.mime for submission in home.simulator.state.charged)
    assert ["audio", "audio"] == media
    assert ["audio/3gp", "video/mp4"] == sent


def test_the_bytes_win_over_the_name(tmp_path: Path) -> None:
    """A PNG named .jpg is sent as image/png."""
    with house(tmp_path) as home, home.process():
        sidecar = home.sidecar(home.put("sample.png", "really.jpg"))
        (submission,) = home.simulator.state.charged
    assert "image/png" == submission.mime
    assert "image" == sidecar["file"]["media"]
