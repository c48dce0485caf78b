"""A pretend identifAI over real HTTP: what the vendor's pages document, scriptable where they are silent.

It judges nothing: its verdicts follow from the content's hash and say that they are simulated. It keeps no upload
and fetches no URL.
"""

from identifai_watch.simulator.script import (
    DOCUMENTED_LIMITS,
    Check,
    Endpoint,
    Fault,
    FaultKind,
    Limits,
    RetryAfter,
    Script,
    Scripted,
    Signature,
)
from identifai_watch.simulator.server import Simulator, serve
from identifai_watch.simulator.state import Received, State
from identifai_watch.simulator.verdicts import Judgement, Submission, judge

__all__ = [
    "DOCUMENTED_LIMITS",
    "Check",
    "Endpoint",
    "Fault",
    "FaultKind",
    "Judgement",
    "Limits",
    "Received",
    "RetryAfter",
    "Script",
    "Scripted",
    "Signature",
    "Simulator",
    "State",
    "Submission",
    "judge",
    "serve",
]
