"""A plain client of the simulator whose every answer is held against the OpenAPI document."""

from urllib.parse import urlencode

import requests

from identifai_watch.core.model import Media
from identifai_watch.simulator import Simulator
from tests.openapi_check import validate

SUFFIX = {Media.IMAGE: "", Media.VIDEO: "_video", Media.AUDIO: "_audio"}
MIME = {Media.IMAGE: "image/jpeg", Media.VIDEO: "video/mp4", Media.AUDIO: "audio/mpeg"}
HEADERS = {"X-Api-Key": "any", "Accept": "application/json"}


class Client:
    """Requests to one simulator; what a fault spoils is not checked once ``is_checked`` is taken away."""

    def __init__(self, simulator: Simulator, session: requests.Session) -> None:
        self.simulator = simulator
        self.session = session
        self.session.headers.update(HEADERS)
        self.is_checked = True

    def request(self, method: str, path: str, **given: object) -> requests.Response:
        """Send a request and check the answer; ``given`` are requests' own arguments."""
        answer = self.session.request(method, self.simulator.url + path, timeout=10, **given)
        if self.is_checked and path.startswith("/api/"):
            validate(method, path, answer.status_code, answer.headers, answer.content)
        return answer

    def get(self, path: str, **given: object) -> requests.Response:
        """Send a GET."""
        return self.request("GET", path, **given)

    def post(self, path: str, **given: object) -> requests.Response:
        """Send a POST."""
        return self.request("POST", path, **given)

    def submit(
        self,
        content: bytes,
        media: Media = Media.IMAGE,
        name: str = "a.bin",
        mime: str | None = None,
        **options: str,
    ) -> requests.Response:
        """Submit ``content`` as a file with ``options``."""
        upload = {media: (name, content, MIME[media] if mime is None else mime)}
        return self.post(f"/api/classification{SUFFIX[media]}", files=upload, data=options)

    def result(self, content: bytes, media: Media = Media.IMAGE, **given: str) -> dict:
        """Submit ``content`` and return its result as it stands."""
        identifier = self.submit(content, media, **given).json()["identifier"]
        return self.get(f"/api/classification{SUFFIX[media]}/{identifier}").json()

    def results(self, identifiers: list[str], media: Media = Media.IMAGE) -> requests.Response:
        """Ask for results in bulk."""
        query = urlencode([("identifiers[]", identifier) for identifier in identifiers])
        return self.get(f"/api/classifications{SUFFIX[media]}?{query}")
