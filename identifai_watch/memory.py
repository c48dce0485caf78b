"""What the ledger remembers of one folder, as a scan of it asks: question by question, page by page."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from identifai_watch.core.model import Remembered
from identifai_watch.ledger import Transaction, tree


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMemory:
    """What the ledger remembers of one folder, as the scan asks for it.

    ``tx`` is best one of ``Ledger.glances``: between two questions the scan waits for a disk, and nothing is to be open.
    """

    tx: Transaction
    folder_id: int

    def directory(self, parent: bytes, most: int) -> dict[bytes, Remembered] | None:
        """Give all that is remembered in ``parent``, None if it is more than ``most``."""
        return tree.directory(self.tx, self.folder_id, parent, most=most)

    def known(self, parent: bytes, names: Sequence[bytes]) -> Mapping[bytes, Remembered]:
        """Give what is remembered of these names in ``parent``."""
        return tree.known(self.tx, self.folder_id, parent, names)

    def rows(self, parent: bytes) -> Iterable[Sequence[Remembered]]:
        """Give all that is remembered in ``parent``, page by page."""
        return tree.pages(self.tx, self.folder_id, parent)

    def names(self, parent: bytes) -> Iterable[bytes]:
        """Give the names that should be in ``parent``."""
        return self._pages(partial(tree.names, folder_id=self.folder_id, parent=parent))

    def parents(self) -> Iterable[bytes]:
        """Give the directories in which something should be."""
        return self._pages(partial(tree.parents, folder_id=self.folder_id))

    def _pages(self, ask: Callable[..., list[bytes]]) -> Iterator[bytes]:
        """Ask page by page: whoever takes the answers looks at a disk meanwhile, and no question stays open for that."""
        after: bytes | None = None
        while True:
            page = ask(self.tx, after=after)
            if not page:
                return
            yield from page
            after = page[-1]
