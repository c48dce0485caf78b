"""A real browser at the page that a real daemon serves. Whatever goes wrong in a window is kept, and fails its test."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import House, wait_for

# Without these the tests that stand on this are skipped.
Image = pytest.importorskip("PIL.Image")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
playwright = pytest.importorskip("playwright.sync_api")

expect = playwright.expect
CHROMIUM = shutil.which("chromium")
PATIENCE = 20_000
"""Milliseconds that something is waited for."""

SHOTS = Path(__file__).parent.parent / "docs" / "screenshots"
WIDE = {"width": 1280, "height": 820}
PHONE = {"width": 390, "height": 844}


@dataclass
class Window:
    """A window of the browser; ``wrongs`` is what no page of ours may do."""

    page: playwright.Page
    url: str
    wrongs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        self.page.on(
            "dialog", lambda dialog: (self.wrongs.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )

    def _asked(self, request: playwright.Request) -> None:
        """Mind whom the page asks for something."""
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and f"{parts.scheme}://{parts.netloc}" != self.url:
            self.wrongs.append(f"asked elsewhere: {request.url}")

    def _said(self, message: playwright.ConsoleMessage) -> None:
        """Mind what the browser complains of: errors, what the policy forbids, what was not there."""
        if message.type in {"error", "warning"}:
            self.wrongs.append(f"{message.type}: {message.text}")

    def look(self, path: str) -> None:
        """Open a page of ours."""
        self.page.goto(self.url + path)

    def at(self, selector: str) -> playwright.Locator:
        """Return what a selector means here."""
        return self.page.locator(selector)

    def row(self, name: str, of: str = "files") -> playwright.Locator:
        """Return the row of a file in a list."""
        link = self.page.get_by_role("link", name=name, exact=True)
        return self.at(f"#{of}-rows > tr").filter(has=link)

    def names(self, of: str = "files") -> list[str]:
        """Return the names in a list, from the first to the last."""
        return self.at(f"#{of}-rows .name a").all_inner_texts()

    def live(self) -> None:
        """Wait until the page follows what changes: what is clicked is then no longer replaced under the hand."""
        expect(self.at("#live")).to_contain_text("Live")

    def becomes(self, expression: str, arg: object = None) -> None:
        """Ask from outside until an expression holds: within the page its policy lets nothing be evaluated."""
        wait_for(lambda: self.page.evaluate(expression, arg), expression)

    def focused(self) -> str:
        """Return the id of what the keyboard speaks to, or its address, or its kind."""
        found: str = self.page.evaluate(
            "(e => e.id || e.getAttribute('href') || e.tagName.toLowerCase())(document.activeElement)"
        )
        return found

    def tab_to(self, wanted: str, most: int = 60) -> None:
        """Press Tab until the keyboard speaks to what has this id or address; whatever it stops at must be seen to be there."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.focused() == wanted:
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"one does not see that {wanted} has the keyboard"
                return
        raise AssertionError(f"{wanted} is not reached by Tab")

    def is_too_wide(self) -> list[str]:
        """Return what lies beyond the right edge of the page, if one would have to scroll to see it."""
        found: list[str] = self.page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth)
            .map(e => e.tagName + '#' + e.id + '.' + e.getAttribute('class')).slice(0, 8)"""
        )
        return found

    def unfold(self) -> None:
        """Open whatever is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")

    def findings(self) -> list[str]:
        """Return what axe-core finds wrong; of the dark page in its colours, which alone differ."""
        found = []
        for scheme, options in (
            ("light", {}),
            ("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}),
        ):
            self.page.emulate_media(color_scheme=scheme)
            told = axe.Axe().run(self.page, options={"resultTypes": ["violations"]} | options).response
            found += [
                f"{scheme} {urlsplit(self.page.url).path}: {one['impact']}: {one['id']}: {[node['html'] for node in one['nodes']][:3]}"
                for one in told["violations"]
            ]
        return found

    def shot(self, target: Path) -> None:
        """Take a picture of what is seen, in few colours, the rare ones among them."""
        png = self.page.screenshot(caret="hide")
        few = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        few.save(target, optimize=True)


@dataclass
class Desk:
    """A house whose daemon serves its page, a browser, and who may come in."""

    home: House
    url: str
    browser: playwright.Browser
    tokens: dict[str, str]
    passes: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def window(self, user: str | None = "ann", **settings: Any) -> Iterator[Window]:
        """Open a window as somebody who has logged in, with ``settings`` of the browser; nothing may go wrong in it."""
        if user is not None and user not in self.passes:
            self.passes[user] = self._passed(user)
        context = self.browser.new_context(
            **{
                "viewport": WIDE,
                "reduced_motion": "reduce",
                "storage_state": None if user is None else self.passes[user],
            }
            | settings
        )
        context.set_default_timeout(PATIENCE)
        try:
            window = Window(context.new_page(), self.url)
            yield window
            assert window.wrongs == []
        finally:
            context.close()

    def _passed(self, user: str) -> Any:
        """Log in as people do, and return what the browser then keeps."""
        with self.window(None) as window:
            window.look("/")
            window.page.get_by_label("Your token").fill(self.tokens[user])
            window.page.keyboard.press("Enter")
            expect(window.at("#visitor")).to_contain_text(user)
            return window.page.context.storage_state()

    def number(self, name: str) -> int:
        """Return the number of the newest file of this name."""
        return next(
            line.file.id for line in self.home.lines() if line.file.path.decode().rpartition("/")[2] == name
        )


@contextmanager
def chromium() -> Iterator[playwright.Browser]:
    """Run Debian's Chromium, which finds no way to anything but this machine."""
    expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
            env=dict(os.environ),
        )
        try:
            yield browser
        finally:
            browser.close()
