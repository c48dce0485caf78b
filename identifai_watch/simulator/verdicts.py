"""What the pretend identifAI makes of a content: decided by its hash, shaped as the vendor's pages show.

Everything says that it is simulated. The same content always gets the same answer: 45 in 100 are human, 40
artificial, and of 15 the models are not sure.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from identifai_watch.core.model import Label, Media
from identifai_watch.simulator.script import Script, Scripted, Signature

API_VERSION = "1.1.0"
MODELS = ("simulated-1", "simulated-2")
HEURISTICS = ("Majority", "Average", "TopRelevant")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One analysis that was paid for; ``options`` are the form's other fields.

    ``arrived_at`` is when the head of its upload was read, ``at`` when all of it was, in monotonic seconds.
    """

    identifier: str
    media: Media
    sha256: bytes
    size: int
    name: str
    mime: str
    options: Mapping[str, str]
    arrived_at: float
    at: float
    ref_id: str | None = None
    no_cache: bool = False

    def asked(self, option: str) -> bool:
        """Tell whether a boolean option was sent as true."""
        return self.options.get(option) == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the models say of a content, before anybody forces anything."""

    label: Label
    confidence: float
    unknown: bool


def judge(sha256: bytes) -> Judgement:
    """Return what the hash alone decides."""
    lot = int.from_bytes(sha256[:2]) % 100
    if lot >= 85:
        label = Label.HUMAN if sha256[3] % 2 else Label.ARTIFICIAL
        return Judgement(label=label, confidence=round(0.5 + sha256[2] / 2550, 4), unknown=True)
    label = Label.HUMAN if lot < 45 else Label.ARTIFICIAL
    return Judgement(label=label, confidence=round(0.62 + 0.37 * sha256[2] / 255, 4), unknown=False)


def scripted(script: Script, submission: Submission) -> Scripted:
    """Return the first entry of the script that speaks of this submission, or one that says nothing."""
    for entry in script.verdicts:
        matches = (
            entry.sha256 in {None, submission.sha256.hex()}
            and entry.media in {None, submission.media}
            and (entry.name is None or fnmatchcase(submission.name, entry.name))
        )
        if matches:
            return entry
    return Scripted()


def document(submission: Submission, script: Script, *, now: float, forced: Label | None) -> Document:
    """Return the result as it stands at ``now`` (monotonic seconds), as the endpoints send it."""
    entry = scripted(script, submission)
    head = _head(submission, forced)
    delay = script.delay_of(submission.media) if entry.delay is None else entry.delay
    if now < submission.at + delay:
        result = head
    elif entry.errors is not None:
        result = head | {"api_version": API_VERSION, "status": "errored", "errors": entry.errors}
    else:
        url = f"https://identifai.invalid/simulated/{submission.media}/{submission.identifier}"
        done = {"api_version": API_VERSION, "status": "done", "result_url": url}
        result = head | done | _body(submission, entry)
        result = {
            name: value for name, value in (result | dict(entry.fields)).items() if name not in entry.without
        }
    if script.pre_1_1:
        return {
            name: value for name, value in result.items() if name not in {"status", "errors", "api_version"}
        }
    return result


def is_done(result: Document) -> bool:
    """Tell whether ``result`` holds a verdict."""
    return "verdict" in result


def _head(submission: Submission, forced: Label | None) -> Document:
    return {
        "hash": submission.sha256.hex(),
        "identifier": submission.identifier,
        "api_version": None,
        "status": "new",
        "errors": None,
        "name": submission.name,
        "ref_id": submission.ref_id,
        "force_classification": forced,
    }


def _body(submission: Submission, entry: Scripted) -> Document:
    judgement = _judgement(submission, entry)
    nsfw = {"is_nsfw": entry.nsfw if submission.asked("with_nsfw") else None}
    match submission.media:
        case Media.IMAGE:
            c2pa = None if entry.signature is None else _c2pa(entry.signature, submission.sha256)
            own = {"c2pa": c2pa, "has_heatmap": submission.asked("with_heatmap")}
            return _image(submission.sha256, judgement) | nsfw | own
        case Media.AUDIO:
            return _audio(submission.sha256, judgement)
        case Media.VIDEO:
            return _video(submission, judgement) | nsfw


def _judgement(submission: Submission, entry: Scripted) -> Judgement:
    own = judge(submission.sha256)
    judgement = Judgement(
        label=own.label if entry.classification is None else entry.classification,
        confidence=own.confidence if entry.confidence is None else entry.confidence,
        unknown=own.unknown and entry.classification is None if entry.unknown is None else entry.unknown,
    )
    if entry.signature is None or submission.asked("prevent_c2pa_forces"):
        return judgement
    return Judgement(label=Label.ARTIFICIAL, confidence=judgement.confidence, unknown=judgement.unknown)


def _image(seed: bytes, judgement: Judgement) -> Document:
    return {
        "verdict": _verdict(HEURISTICS[0], judgement),
        "verdicts": [_verdict(name, judgement) for name in HEURISTICS],
        "results": _results(seed, judgement),
        "details": [{"detections": [_detection(seed, judgement)]}] if seed[4] % 3 == 0 else [],
    }


def _audio(seed: bytes, judgement: Judgement) -> Document:
    clips = [
        {
            "index": index,
            "start": index * 4.5,
            "end": index * 4.5 + 4.5,
            "results": _results(_derived(seed, index), judgement),
            "verdict": _verdict(HEURISTICS[1], judgement),
        }
        for index in range(1 + seed[5] % 3)
    ]
    return {
        "verdict": _verdict(HEURISTICS[0], judgement),
        "verdicts": [_verdict(name, judgement) for name in HEURISTICS],
        "results": _results(seed, judgement),
        "details": {"clips": clips},
    }


def _video(submission: Submission, judgement: Judgement) -> Document:
    frames = int(submission.options.get("frames", "5"))
    more = {"count": round(judgement.confidence * frames), "unknown": judgement.unknown}
    images = [_frame(submission, judgement, index) for index in range(frames)]
    sound = _derived(submission.sha256, frames)
    audios = [_part(submission, "audio", sound) | _audio(sound, judgement)] if sound[6] % 2 else []
    return {
        "verdict": _verdict(HEURISTICS[0], judgement) | more,
        "verdicts": [_verdict(name, judgement) | more for name in HEURISTICS],
        "results": {"images": images, "audios": audios},
    }


def _frame(submission: Submission, judgement: Judgement, index: int) -> Document:
    seed = _derived(submission.sha256, index)
    head = _part(submission, f"frame-{index}", seed)
    return head | _image(seed, judgement) | {"is_nsfw": None, "c2pa": None, "has_heatmap": False}


def _part(submission: Submission, name: str, seed: bytes) -> Document:
    return {
        "hash": seed.hex(),
        "identifier": f"{submission.identifier}-{name}",
        "api_version": API_VERSION,
        "status": "done",
        "errors": None,
        "name": name,
    }


def _verdict(heuristic: str, judgement: Judgement) -> Document:
    return {
        "heuristic": heuristic,
        "confidence": judgement.confidence,
        "classification": judgement.label,
        "models": list(MODELS),
    }


def _results(seed: bytes, judgement: Judgement) -> list[Document]:
    return [_result(model, seed[7 + place], judgement) for place, model in enumerate(MODELS)]


def _result(model: str, chance: int, judgement: Judgement) -> Document:
    scores = [
        {"label": judgement.label, "score": judgement.confidence},
        {
            "label": Label.ARTIFICIAL if judgement.label is Label.HUMAN else Label.HUMAN,
            "score": round(1 - judgement.confidence, 4),
        },
    ]
    return {
        "model": model,
        "unknown": judgement.unknown,
        "elapsed_time": round(0.1 + chance / 140, 3),
        "classification": scores if chance % 2 else scores[::-1],
        "classification_details": {"confidence": judgement.confidence},
    }


def _detection(seed: bytes, judgement: Judgement) -> Document:
    left, top = seed[9], seed[10]
    verdict = _verdict(HEURISTICS[1], judgement)
    return {
        "box": {"x1": left, "x2": left + 40, "y1": top, "y2": top + 56},
        "results": _results(_derived(seed, 0), judgement),
        "verdict": {name: verdict[name] for name in ("heuristic", "confidence", "classification")},
    }


def _c2pa(signature: Signature, seed: bytes) -> Document:
    label = f"urn:simulated:{seed[:8].hex()}"
    action: Document = {"action": "c2pa.created"}
    if signature.digital_source_type is not None:
        action["digitalSourceType"] = signature.digital_source_type
    return {
        "active_manifest": label,
        "manifests": {
            label: {
                "label": label,
                "title": "simulated",
                "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
                "ingredients": [],
                "signature_info": {"alg": "Es256", "issuer": signature.issuer, "common_name": "simulated"},
                "claim_generator_info": [{"name": "identifai-watch simulator"}],
            }
        },
        "validation_state": signature.state,
        "validation_status": [],
        "validation_results": {"activeManifest": {"failure": [], "success": [], "informational": []}},
    }


def _derived(seed: bytes, index: int) -> bytes:
    return hashlib.sha256(seed + index.to_bytes(4)).digest()
