"""The parts of a page that change while it is looked at: each is made in one way, for the page and for what is sent later."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from identifai_watch.core import wording
from identifai_watch.ledger.views import Line
from identifai_watch.web import listing, rendering
from identifai_watch.web.listing import Filters, Found
from identifai_watch.web.page import Page

REVIEWS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file of a list as it is shown; ``mark`` changes when what is shown does."""

    id: int
    html: str

    @property
    def mark(self) -> str:
        """Return what tells this look of the row from another."""
        return f"{zlib.crc32(self.html.encode('utf-8', 'replace')):08x}"


def rows(page: Page, lines: Iterable[Line]) -> list[Row]:
    """Return files as the rows of a list, each with its host where there are several."""
    has_hosts = bool(page.hosts())
    return [row(line, has_hosts=has_hosts) for line in lines]


def row(line: Line, *, has_hosts: bool) -> Row:
    """Return a file as the row of a list."""
    signs = wording.signs(line.file, line.analysis)
    html = rendering.fragment("_row.html", line=line, file=line.file, signs=signs, has_hosts=has_hosts)
    return Row(id=line.file.id, html=html)


def reviews(page: Page) -> Found:
    """Return the first of what is to be reviewed."""
    return listing.find(page.ledger, Filters(to_review=True), limit=REVIEWS_SHOWN)
