"""A webhook that gets each notice as JSON, signed by the scheme of standardwebhooks.com; and an address that is called."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

import requests

from identifai_watch import __version__
from identifai_watch.core.notices import HOPELESS
from identifai_watch.core.replies import retry_after
from identifai_watch.notify.answer import TOLD, Answer

SECONDS = (10.0, 30.0)
"""To connect, and for the answer."""

SPELT = "whsec_"
"""How a key begins that is written in base64."""


def signing_key(secret: str) -> bytes:
    """Return the bytes that a secret stands for: base64 after ``whsec_``, else the text itself.

    Raises:
        ValueError: What comes after ``whsec_`` is no base64.
    """
    if not secret.startswith(SPELT):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SPELT), validate=True)
    except binascii.Error as error:
        raise ValueError(f"holds no base64 after {SPELT}") from error


def signature(key: bytes, uid: str, at: datetime, body: bytes) -> str:
    """Return the header that vouches for ``body``: HMAC-SHA256 over ``uid.timestamp.body``, in base64."""
    signed = b".".join((uid.encode(), str(int(at.timestamp())).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def post(webhook: str, uid: str, body: bytes, *, at: datetime, key: bytes | None) -> Answer:
    """Post a notice; with a ``key`` it is signed. ``uid`` is the same however often it is posted."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"identifai-watch/{__version__}",
        "webhook-id": uid,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if key is not None:
        headers["webhook-signature"] = signature(key, uid, at, body)
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(
                webhook, data=body, headers=headers, timeout=SECONDS, allow_redirects=False, stream=True
            )
            answer.close()
        except requests.RequestException as error:
            return Answer(trouble=f"the webhook cannot be reached ({type(error).__name__})", again=True)
    if _is_taken(answer):
        return TOLD
    return Answer(
        trouble=f"the webhook answered {answer.status_code}",
        again=answer.status_code not in HOPELESS,
        at_least=retry_after(answer.headers, at),
    )


def beat(address: str) -> Answer:
    """Call an address that takes our silence for a failure."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(
                address,
                headers={"User-Agent": f"identifai-watch/{__version__}"},
                timeout=SECONDS,
                allow_redirects=False,
                stream=True,
            )
            answer.close()
        except requests.RequestException as error:
            return Answer(trouble=f"heartbeat_url cannot be reached ({type(error).__name__})")
    if _is_taken(answer):
        return TOLD
    return Answer(trouble=f"heartbeat_url answered {answer.status_code}")


def _is_taken(answer: requests.Response) -> bool:
    """Tell whether somebody was told; where a redirection leads nobody is."""
    return 200 <= answer.status_code < 300
