"""The yardstick of ``throughput``: hash, post and get each file once, and keep nothing.

``python -m benchmarks.bare URL KEY DIRECTORY THREADS`` prints the seconds and the processor time that it took.
"""

import hashlib
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

import requests


def send(url: str, key: str, paths: "SimpleQueue[Path]") -> None:
    """Send what is in the queue until it is empty."""
    session = requests.Session()
    session.headers["X-Api-Key"] = key
    session.headers["Accept"] = "application/json"
    while True:
        try:
            path = paths.get_nowait()
        except Empty:
            return
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        answer = session.post(
            f"{url}/api/classification", files={"image": (path.name, content, "image/png")}, timeout=60
        )
        answer.raise_for_status()
        result = session.get(f"{url}/api/classification/{answer.json()['identifier']}", timeout=60)
        result.raise_for_status()


def main(url: str, key: str, directory: Path, threads: int) -> None:
    """Send every picture of a directory."""
    paths: SimpleQueue[Path] = SimpleQueue()
    for path in sorted(directory.rglob("*.png")):
        paths.put(path)
    began, spent = time.monotonic(), time.process_time()
    running = [threading.Thread(target=send, args=(url, key, paths)) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    sys.stdout.write(f"{time.monotonic() - began} {time.process_time() - spent}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
