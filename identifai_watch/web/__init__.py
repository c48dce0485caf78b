"""The page: what came in, what the verdict is, why, and what waits; for people, and for machines that ask.

``page`` is what it stands on; ``server`` listens, in a thread of its own; ``gatehouse`` decides who comes in and what may
be written; ``pages`` shows, ``writes`` does what commands do, ``machines`` answers in JSON, ``bytes`` hands out media,
``live`` tells what changed. It reads the ledger in short transactions of its own and writes orders alone.
"""

from identifai_watch.web.page import Page
from identifai_watch.web.server import Server, served
from identifai_watch.web.users import Role, User

__all__ = ["Page", "Role", "Server", "User", "served"]
