"""Who opens what below a directory: counted by inotify, so that a file that is only looked at from outside is told."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer


class Opens(FileSystemEventHandler):
    """How often each file was opened, by its name."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def on_opened(self, event: FileSystemEvent) -> None:
        """Count one."""
        self.counted[Path(str(event.src_path)).name] += 1


@contextmanager
def counted(directory: Path) -> Iterator[Counter[str]]:
    """Count what is opened in ``directory`` by any process."""
    opens = Opens()
    observer = Observer()
    observer.schedule(opens, str(directory), event_filter=[FileOpenedEvent])
    observer.start()
    try:
        yield opens.counted
    finally:
        observer.stop()
        observer.join()
