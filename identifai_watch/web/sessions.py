"""Sessions: a cookie that says who logged in and until when, signed with what the file of users holds.

Nothing is kept here: a session outlives a restart, and ends when its user is taken out or given another token.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from identifai_watch.web.users import User

COOKIE = "identifai_session"
LASTS = timedelta(days=7)


def begun(user: User, now: datetime) -> str:
    """Return the cookie of a session that begins now."""
    until = int((now + LASTS).timestamp())
    return f"{user.name}|{until}|{_signed(user, until)}"


def name_in(cookie: str) -> str:
    """Return the name that a cookie claims, which proves nothing."""
    return cookie.partition("|")[0]


def is_good(cookie: str, user: User, now: datetime) -> bool:
    """Tell whether a cookie is a session of this user that has not ended."""
    name, _, rest = cookie.partition("|")
    until, _, signature = rest.partition("|")
    if name != user.name or not (until.isascii() and until.isdigit()) or len(until) > 11:
        return False
    is_ours = hmac.compare_digest(signature.encode("utf-8", "replace"), _signed(user, int(until)).encode())
    return is_ours and datetime.fromtimestamp(int(until), UTC) > now


def _signed(user: User, until: int) -> str:
    return hmac.new(user.secret, f"{user.name}|{until}".encode(), hashlib.sha256).hexdigest()
