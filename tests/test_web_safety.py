"""Who comes in, what may be written, and what a page may do: over real HTTP against the real server."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from identifai_watch.core.model import Choice
from identifai_watch.ledger import Ledger, views
from identifai_watch.web import users
from identifai_watch.web.users import Role
from tests.browsing import Browser, Seen, served
from tests.console import at
from tests.harness import House, house


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house with one file that was judged."""
    with house(tmp_path_factory.mktemp("safety")) as one:
        one.put("sample.jpg")
        one.once()
        yield one


@pytest.fixture
def browser(home: House) -> Iterator[Browser]:
    """Give a browser on this machine, at a page without users."""
    with served(home) as one:
        yield one


@contextmanager
def with_users(home: House, **settings: Any) -> Iterator[tuple[Browser, dict[str, str]]]:
    """Serve a page that has users, and give the tokens of ann, who may edit, and of bob, who may look."""
    path = home.home / "users"
    made = {name: users.made(name, role) for name, role in (("ann", Role.EDIT), ("bob", Role.VIEW))}
    users.write(path, {name: user for name, (user, _) in made.items()})
    with served(home, users_file=str(path), **settings) as browser:
        yield browser, {name: token for name, (_, token) in made.items()}


def log_in(browser: Browser, token: str) -> int:
    """Fill the form of the login in; return the status."""
    return browser.fill("/login", key=token).status_code


def decisions(home: House) -> list[tuple[str, str]]:
    """Return who decided what, as the history has it."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        happenings = views.history_of(tx, home.lines()[0].file)
    return [(one.who, one.detail["choice"]) for one in happenings if one.event == "decided"]


def test_every_answer_says_what_it_may_do(browser: Browser) -> None:
    """Nothing inline, nothing from elsewhere, in nobody's frame, never guessed at: also where it is an error."""
    for path in ("/", "/files/1", "/api/v1/files", "/healthz", "/nowhere", "/files?outcome=x"):
        headers = browser.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ("nosniff", "same-origin", "DENY") == tuple(
            headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options")
        )
        assert "server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8451", 200),
        ("[::1]:8451", 200),
        ("evil.example.org", 421),
        ("localhost.evil.example.org", 421),
        ("127.0.0.1.nip.io", 421),
        ("", 421),
        ("a b", 421),
    ],
)
def test_a_strange_name_is_not_answered(browser: Browser, host: str, status: int) -> None:
    """What a stranger's DNS leads here, so that his page could read ours, is refused by its Host."""
    assert status == browser.get("/", Host=host).status_code


def test_a_host_that_is_named_is_answered(home: House) -> None:
    """The names of web.hosts and of web.public_url are ours; behind them nobody may write without a user."""
    with served(home, hosts=["watch.example.org"], public_url="https://desk.example.org") as browser:
        for host in ("watch.example.org", "DESK.example.org:443"):
            answer = browser.get("/files/1", Host=host)
            assert (200, False) == (answer.status_code, "/files/1/decide" in answer.text)
        assert 421 == browser.get("/", Host="other.example.org").status_code
        assert "; Secure" in browser.get("/").headers["Set-Cookie"]


# Writing.


def test_a_form_of_ours_is_carried_out(home: House, browser: Browser) -> None:
    """On this machine, without users, what the page does stands in the history under its name."""
    before = decisions(home)
    answer = browser.fill("/files/1/decide", choice="confirmed", reason="seen by eye")
    assert (303, "/files/1?done=decided") == (answer.status_code, answer.headers["Location"])
    assert [*before, ("page", "confirmed")] == decisions(home)


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"token": ""}, 403),
        ({"token": "0" * 64}, 403),
        ({"token": None}, 403),
        ({"choice": "alien"}, 400),
        ({"reason": "  "}, 400),
        ({"reason": "x" * 2001}, 400),
        ({"reason": "x" * 70_000}, 413),
    ],
)
def test_what_is_no_form_of_ours_is_refused(
    home: House, browser: Browser, spoil: dict[str, str | None], status: int
) -> None:
    """Without the token of a form, or with values that no form has, nothing is done."""
    before = decisions(home)
    form = {"token": browser.token("/files/1/decide"), "choice": "human", "reason": "because"} | spoil
    answer = browser.post(
        "/files/1/decide", {name: value for name, value in form.items() if value is not None}
    )
    assert (status, before) == (answer.status_code, decisions(home))


def test_a_token_is_for_one_browser(home: House, browser: Browser) -> None:
    """The token of a form that somebody else was given is worth nothing here."""
    before = decisions(home)
    other = Browser(browser.url)
    form = {"token": other.token("/files/1/decide"), "choice": "human", "reason": "because"}
    browser.get("/")
    assert 403 == browser.post("/files/1/decide", form).status_code
    assert 303 == other.post("/files/1/decide", form).status_code
    assert len(before) + 1 == len(decisions(home))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_site_writes_nothing(home: House, browser: Browser, headers: dict[str, str]) -> None:
    """What a browser says that another site sent is refused, whatever it carries."""
    before = decisions(home)
    form = {"token": browser.token("/files/1/decide"), "choice": "human", "reason": "because"}
    assert 403 == browser.post("/files/1/decide", form, **headers).status_code
    assert before == decisions(home)
    assert 415 == browser.post("/files/1/decide", form, Content_Type="text/plain").status_code
    assert 405 == browser.session.delete(f"{browser.url}/files/1", timeout=20).status_code


def test_who_comes_through_a_proxy_only_looks(browser: Browser) -> None:
    """Without users a request that somebody handed on is no request from this machine."""
    for header in ("X_Forwarded_For", "Forwarded", "X_Real_IP"):
        assert "/files/1/decide" not in browser.get("/files/1", **{header: "203.0.113.7"}).text
        form = {"token": browser.token("/files/1/decide"), "choice": "human", "reason": "because"}
        assert 403 == browser.post("/files/1/decide", form, **{header: "203.0.113.7"}).status_code


# Users.


def test_who_is_not_known_sees_nothing(home: House) -> None:
    """Where there are users people are led to the login and machines are refused; nothing of a file is told."""
    with with_users(home) as (browser, _):
        for path in ("/", "/files/1", "/files/1/original", "/live?view=home", "/review"):
            answer = browser.get(path, follow=False)
            assert (303, "/login") == (answer.status_code, urlsplit(answer.headers["Location"]).path)
        for path in ("/api/v1/files", "/metrics"):
            answer = browser.get(path, Accept="*/*")
            assert (401, True) == (answer.status_code, "Bearer" in answer.headers["WWW-Authenticate"])
        assert browser.get("/healthz").status_code in {200, 503}
        assert 200 == browser.get(browser.seen("/login").one(r'href="(/static/[^"]+css)"')).status_code


def test_a_user_logs_in_and_writes_under_his_name(home: House) -> None:
    """A token opens a session in a cookie that no script reads; what is decided stands under that name."""
    with with_users(home) as (browser, tokens):
        assert 403 == log_in(browser, "ann.wrong")
        assert 403 == log_in(browser, tokens["ann"][:-1])
        answer = browser.fill("/login?next=%2Ffiles%2F1", key=tokens["ann"])
        assert (303, "/files/1") == (answer.status_code, answer.headers["Location"])
        cookie = next(one for one in answer.headers["Set-Cookie"].split(", ") if "session" in one)
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert tokens["ann"] not in cookie
        assert "ann" == browser.seen("/").text("visitor")
        assert 303 == browser.fill("/files/1/decide", choice="human", reason="called him").status_code
        assert ("ann", Choice.HUMAN) == decisions(home)[-1]
        form = {"token": browser.token("/")}
        assert 303 == browser.post("/logout", form).status_code
        assert 303 == browser.get("/", follow=False).status_code


def test_a_viewer_changes_nothing(home: House) -> None:
    """Who may only look is shown no button, and is refused if he sends a form all the same."""
    before = decisions(home)
    with with_users(home) as (browser, tokens):
        log_in(browser, tokens["bob"])
        assert "/files/1/decide" not in browser.seen("/files/1").html
        form = {"token": browser.token("/"), "choice": "human", "reason": "because"}
        assert 403 == browser.post("/files/1/decide", form).status_code
    assert before == decisions(home)


def test_the_login_leads_nowhere_else(home: House) -> None:
    """A link to the login cannot send whoever logs in to another site."""
    with with_users(home) as (browser, tokens):
        for there in ("https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "evil"):
            browser.session.cookies.clear()
            browser.get("/login")
            form = {"token": browser.token(), "key": tokens["ann"], "next": there}
            assert "/" == browser.post("/login", form).headers["Location"]


def test_a_machine_sends_its_token(home: House) -> None:
    """A token is sent by machines as a bearer's; a wrong one is refused."""
    with with_users(home) as (browser, tokens):
        browser.headers = {"Authorization": f"Bearer {tokens['bob']}"}
        assert 1 == browser.json("/api/v1/files")["files"][0]["id"]
        assert 200 == browser.get("/metrics").status_code
        browser.headers = {"Authorization": "Bearer bob.nothing"}
        assert 401 == browser.get("/api/v1/files").status_code


def test_who_is_taken_out_is_out_at_once(home: House) -> None:
    """A session ends when its user is taken out of the file, or is given another token."""
    with with_users(home) as (browser, tokens):
        log_in(browser, tokens["ann"])
        assert 200 == browser.get("/", follow=False).status_code
        assert 0 == at(home, "web", "add-user", "ann", "--role", "edit").status
        assert 303 == browser.get("/", follow=False).status_code
        browser.session.cookies.clear()
        log_in(browser, tokens["bob"])
        assert 200 == browser.get("/", follow=False).status_code
        assert 0 == at(home, "web", "remove-user", "bob").status
        assert 303 == browser.get("/", follow=False).status_code
        assert 403 == log_in(browser, tokens["bob"])


def test_a_forged_session_is_none(home: House) -> None:
    """A cookie that names a user, or another end, without the right signature opens nothing."""
    with with_users(home) as (browser, tokens):
        log_in(browser, tokens["bob"])
        mine = browser.session.cookies["identifai_session"].strip('"')
        name, until, signature = mine.split("|")
        for forged in (
            f"ann|{until}|{signature}",
            f"{name}|{int(until) + 1}|{signature}",
            f"{name}|{until}|",
            "x",
            "|",
        ):
            browser.session.cookies.clear()
            assert 303 == browser.get("/", follow=False, Cookie=f"identifai_session={forged}").status_code


def test_a_broken_file_of_users_lets_nobody_in(home: House) -> None:
    """Where the file of users cannot be used nobody is let in, and the answer does not say what is in it."""
    with with_users(home) as (browser, tokens):
        path = home.home / "users"
        path.write_text("ann:edit:plain:secret\n", encoding="utf-8")
        answer = browser.get("/", Authorization=f"Bearer {tokens['ann']}")
        assert (503, False) == (answer.status_code, "secret" in answer.text)


def test_the_file_of_users_holds_no_token(home: House) -> None:
    """What is kept is a hash with a salt, for its owner's eyes alone; a token is printed once."""
    with with_users(home):
        told = at(home, "web", "add-user", "eve", "--role", "view")
        text = (home.home / "users").read_text(encoding="utf-8")
        assert told.out.strip() not in text
        assert told.out.strip().partition(".")[2] not in text
        assert 0o600 == (home.home / "users").stat().st_mode & 0o777
        assert ["ann  edit", "bob  view", "eve  view"] == at(home, "web", "users").out.splitlines()
        for name in ("a b", "daemon", "Page"):
            assert 1 == at(home, "web", "add-user", name, "--role", "view").status
        (home.home / "users").chmod(0o666)
        assert "anybody may write to it" in at(home, "web", "users").err


# A reverse proxy.


def test_a_name_is_believed_from_the_proxy_alone(home: House) -> None:
    """The header names the user if it comes from a trusted proxy; from anybody else it is nothing."""
    settings = {"user_header": "X-Remote-User", "public_url": "http://desk.example.org"}
    with served(home, trusted_proxies=["127.0.0.0/8"], **settings) as browser:
        browser.headers = {
            "X-Remote-User": "Ann Lee",
            "Host": "desk.example.org",
            "X-Forwarded-For": "203.0.113.7",
        }
        assert "Ann Lee" == browser.seen("/").text("visitor")
        assert 303 == browser.fill("/files/1/decide", choice="artificial", reason="odd hands").status_code
        assert ("Ann Lee", "artificial") == decisions(home)[-1]
        browser.headers = {"Host": "desk.example.org"}
        assert "/files/1/decide" not in browser.seen("/files/1").html
    with served(home, trusted_proxies=["192.0.2.1"], **settings) as browser:
        browser.headers = {"X-Remote-User": "Ann Lee", "Host": "desk.example.org"}
        assert 403 == browser.get("/").status_code


def test_two_names_are_none(home: House) -> None:
    """A header that comes twice, as when a client adds one of its own, names nobody."""
    with served(home, user_header="X-Remote-User", trusted_proxies=["127.0.0.1"]) as browser:
        address = urlsplit(browser.url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as connection:
            connection.sendall(
                b"GET /files/1 HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: ann\r\nX-Remote-User: root\r\n"
                b"Connection: close\r\n\r\n"
            )
            said = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"200 OK" in said
        assert b"/files/1/decide" not in said


def test_a_proxys_names_are_told_as_they_are(home: House) -> None:
    """A name may be written in any script; nobody is called what the history calls the daemon or this machine."""
    with served(home, user_header="X-Remote-User", trusted_proxies=["127.0.0.1"]) as browser:
        for name, expected in (
            ("Jörg", "Jörg"),
            ("李明", "李明"),
            ("daemon", None),
            ("Page", None),
            ("a\tb", None),
        ):
            sent = {"X-Remote-User": name.encode(), "Host": "localhost"}
            page = Seen(browser.session.get(f"{browser.url}/now", headers=sent, timeout=20).text)
            assert expected == (page.text("visitor") if page.has("visitor") else None)


def test_the_proxy_names_users_and_their_file_says_what_they_may(home: House) -> None:
    """With both, who the proxy names has the role of the file, and may look if he is not in it."""
    with with_users(home, user_header="X-Remote-User", trusted_proxies=["127.0.0.1"]) as (browser, _):
        for name, may_edit in (("ann", True), ("bob", False), ("eve", False)):
            answer = browser.get("/files/1", X_Remote_User=name)
            assert (200, may_edit) == (answer.status_code, "/files/1/decide" in answer.text)


# Media.


@contextmanager
def shown(place: Path) -> Iterator[tuple[House, Browser]]:
    """Give a house with a picture and a film that were judged, and a browser at its page."""
    with house(place) as one:
        one.put("sample.jpg", "a/picture.jpg")
        one.put("sample.mp4", "film.mp4")
        one.once()
        with served(one) as browser:
            yield one, browser


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Browser]]:
    """Give a house whose files stay as they are."""
    with shown(tmp_path_factory.mktemp("hall")) as found:
        yield found


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[tuple[House, Browser]]:
    """Give a house of one's own, whose files may be changed."""
    with shown(tmp_path) as found:
        yield found


def of(one: House, name: str) -> int:
    """Return the number of a file."""
    return next(line.file.id for line in one.lines() if line.file.path.decode().endswith(name))


def test_a_file_is_handed_out_with_a_fixed_type(hall: tuple[House, Browser]) -> None:
    """What is judged is shown byte for byte, under a type that we say, in a sandbox."""
    home, browser = hall
    answer = browser.get(f"/files/{of(home, 'picture.jpg')}/original")
    assert (home.drop / "a" / "picture.jpg").read_bytes() == answer.content
    assert ("image/jpeg", "nosniff") == (
        answer.headers["Content-Type"],
        answer.headers["X-Content-Type-Options"],
    )
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-999999999", slice(5, None)),
    ],
)
def test_a_player_asks_for_parts(hall: tuple[House, Browser], asked: str, expected: slice) -> None:
    """A range is answered with just that part, and says of how much."""
    home, browser = hall
    whole = (home.drop / "film.mp4").read_bytes()
    answer = browser.get(f"/files/{of(home, 'film.mp4')}/original", Range=asked)
    assert (206, whole[expected]) == (answer.status_code, answer.content)
    assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_what_is_no_part_is_told(hall: tuple[House, Browser]) -> None:
    """A range behind the end has no bytes; one that is none is answered with the whole."""
    home, browser = hall
    path = f"/files/{of(home, 'film.mp4')}/original"
    size = (home.drop / "film.mp4").stat().st_size
    answer = browser.get(path, Range=f"bytes={size}-")
    assert (416, f"bytes */{size}") == (answer.status_code, answer.headers["Content-Range"])
    for asked in ("bytes=9-1", "bytes=0-1,5-6", "lines=1-2", "bytes=-"):
        assert 200 == browser.get(path, Range=asked).status_code
    assert 200 == browser.get(path, Range="bytes=0-1", If_Range='"another"').status_code
    head = browser.session.head(browser.url + path, timeout=20)
    assert (200, str(size)) == (head.status_code, head.headers["Content-Length"])


def test_a_link_leads_nowhere(workshop: tuple[House, Browser], tmp_path: Path) -> None:
    """A file or a directory that is swapped for a link is not followed out of the folder."""
    home, browser = workshop
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    original = home.drop / "a" / "picture.jpg"
    (secret / "picture.jpg").write_bytes(original.read_bytes())
    os.utime(secret / "picture.jpg", ns=(0, original.stat().st_mtime_ns))
    path = f"/files/{of(home, 'picture.jpg')}/original"
    original.unlink()
    original.symlink_to(secret / "picture.jpg")
    assert 503 == browser.get(path).status_code
    original.unlink()
    (home.drop / "a" / "picture.jpg.identifai.json").unlink()
    (home.drop / "a").rmdir()
    (home.drop / "a").symlink_to(secret)
    assert browser.get(path).status_code in {404, 503}


def test_another_file_in_its_place_is_not_shown(workshop: tuple[House, Browser]) -> None:
    """What was changed since it was judged is not shown beside that verdict."""
    home, browser = workshop
    home.put("sample.png", "a/picture.jpg")
    answer = browser.get(f"/files/{of(home, 'picture.jpg')}/original")
    assert (409, True) == (answer.status_code, "changed since" in answer.text)
    (home.drop / "a" / "picture.jpg").unlink()
    assert 404 == browser.get(f"/files/{of(home, 'picture.jpg')}/original").status_code


def test_no_path_is_ever_taken_from_an_address(hall: tuple[House, Browser]) -> None:
    """Only numbers of the ledger's rows lead to a file; nothing in an address is a path."""
    _, browser = hall
    for path in (
        "/files/1/original/../../../etc/passwd",
        "/files/..%2f..%2fetc%2fpasswd/original",
        "/files/-1/original",
    ):
        assert 404 == browser.get(path).status_code
    assert re.search("root:", browser.get("/static/x/..%2f..%2f..%2fetc%2fpasswd").text) is None
