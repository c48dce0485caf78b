"""Tell others something: the operator's own command, a webhook, what Apprise knows, and a watchdog's address.

What is told, and when it is told again, is left to others; each function here tells one thing once and says what came
of it. No address is ever repeated in words, for it may hold a secret.
"""

from identifai_watch.notify.alerts import alert, is_installed
from identifai_watch.notify.answer import TOLD, Answer
from identifai_watch.notify.command import run
from identifai_watch.notify.webhook import beat, post, signing_key

__all__ = ["TOLD", "Answer", "alert", "beat", "is_installed", "post", "run", "signing_key"]
