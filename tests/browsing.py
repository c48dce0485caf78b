"""Looking at the page as a browser does, over real HTTP: cookies kept, forms filled in, events heard."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import requests

from identifai_watch.ledger import Ledger
from identifai_watch.web import Page, Server
from tests.harness import House

SECONDS = 20
HOST = socket.gethostname()


@contextmanager
def served(home: House, *, node: str = "here", **settings: Any) -> Iterator["Browser"]:
    """Serve the page of a house's ledger, as ``identifai-watch web`` does; ``settings`` are those of [web].

    Commands, and daemons that are processes, speak of the folders of this host: HOST is its node.
    """
    home.more = home.more | {"web": {"listen": "127.0.0.1:0"} | settings}
    config = home.config()
    address = config.web.address
    assert address is not None
    with (
        Ledger(home.ledger_url, node=node) as ledger,
        Server(Page(config=lambda: config, ledger=ledger), (address[0], 0)) as server,
    ):
        yield Browser(f"http://127.0.0.1:{server.port}")


@dataclass
class Browser:
    """One browser at one address; ``headers`` are sent with each request."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def get(self, path: str, *, follow: bool = True, **headers: str) -> requests.Response:
        """Ask for a page."""
        return self.session.get(
            self.url + path,
            headers={"Accept": "text/html"} | self.headers | _named(headers),
            timeout=SECONDS,
            allow_redirects=follow,
        )

    def seen(self, path: str) -> "Seen":
        """Look at a page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return Seen(answer.text)

    def json(self, path: str, **headers: str) -> Any:
        """Ask as a machine does, and be answered."""
        answer = self.get(path, Accept="application/json", **headers)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def post(
        self, path: str, form: dict[str, str], *, follow: bool = False, **headers: str
    ) -> requests.Response:
        """Send a form as it is."""
        return self.session.post(
            self.url + path,
            data=form,
            headers={"Accept": "text/html"} | self.headers | _named(headers),
            timeout=SECONDS,
            allow_redirects=follow,
        )

    def fill(self, path: str, **values: str) -> requests.Response:
        """Open a page, fill its form in as it says, and send it to where it says."""
        page = self.seen(path)
        action = page.one(r'<form method="post" action="([^"]+)" id=')
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.form(action)))
        return self.post(action, hidden | values)

    def token(self, path: str = "/login") -> str:
        """Return the token that a form of this page carries."""
        return self.seen(path).one(r'name="token" value="(\w+)"')

    @contextmanager
    def live(self, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """Hear the events of a page as they come."""
        with self.session.get(self.url + path, headers=self.headers, timeout=SECONDS, stream=True) as answer:
            assert answer.status_code == 200, answer.text
            yield _events(answer)


class Seen:
    """A page as it was sent."""

    def __init__(self, html: str) -> None:
        self.html = html
        self._parser = _Texts()
        self._parser.feed(html)

    def text(self, name: str) -> str:
        """Return the text of the element with this id, its blanks as one."""
        return " ".join("".join(self._parser.texts[name]).split())

    def has(self, name: str) -> bool:
        """Tell whether there is an element with this id."""
        return name in self._parser.texts

    @property
    def ids(self) -> list[str]:
        """Every id, in the order of the page."""
        return list(self._parser.texts)

    def rows(self, name: str = "files") -> list[int]:
        """Return the numbers of the files in a list."""
        return [int(found) for found in re.findall(rf'<tr id="{name}-(\d+)"', self.html)]

    def one(self, pattern: str) -> str:
        """Return what a pattern finds first."""
        found = re.search(pattern, self.html)
        assert found is not None, (pattern, self.html)
        return found[1].replace("&amp;", "&")

    def form(self, action: str) -> str:
        """Return the form that goes to a place."""
        return next(one for one in self.html.split("<form ")[1:] if f'action="{action}"' in one).split(
            "</form>"
        )[0]


class _Texts(HTMLParser):
    """Collects the text within each element that has an id."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("id")
        if name is not None:
            self.texts[name] = []
        if tag not in {"meta", "link", "input", "img", "br"}:
            self._open.append((tag, name))

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"b", "i", "em", "strong", "span", "a"}:
            self.handle_data(" ")
        while self._open:
            closed, _ = self._open.pop()
            if closed == tag:
                return

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name is not None:
                self.texts[name].append(data)


def _events(answer: requests.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
