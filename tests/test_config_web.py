"""[web]: under which names the page answers, and that it is never open to whoever reaches it."""

from pathlib import Path

import pytest

from identifai_watch import config
from tests.test_config import parse, problems

FOLDER = '\n[[folder]]\npath = "/srv/drop"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'listen = "0.0.0.0:8451"',
            [
                (
                    'web.listen: "0.0.0.0:8451" would be open to whoever reaches it; set web.users_file, or '
                    "web.user_header with web.trusted_proxies, or listen on 127.0.0.1"
                )
            ],
        ),
        ('listen = "[::]:8451"\nusers_file = "users"', []),
        ('listen = "10.0.0.7:8451"\nuser_header = "X-User"\ntrusted_proxies = ["10.0.0.0/24"]', []),
        ('listen = "localhost:8451"', []),
        ('listen = "[::1]:8451"', []),
        ('listen = ""', []),
        (
            'user_header = "X-User"',
            [
                'web.user_header: "X-User" would be believed from nobody; name the reverse proxy in web.trusted_proxies'
            ],
        ),
        (
            'user_header = "X User"',
            ['web.user_header: "X User" is no name of a header; it is like X-Remote-User'],
        ),
        (
            'trusted_proxies = ["proxy.example.org"]',
            [
                'web.trusted_proxies.#1: "proxy.example.org" is no address; write one like 10.0.0.2, or a network like 10.0.0.0/24'
            ],
        ),
        (
            'hosts = ["watch.example.org:8451"]',
            [
                'web.hosts.#1: "watch.example.org:8451" is no name of a host; write it without a port, like watch.example.org'
            ],
        ),
        (
            'public_url = "watch.example.org"',
            ['web.public_url: "watch.example.org" is no address; it is like https://watch.example.org'],
        ),
        (
            'public_url = "https://example.org/watch"',
            [
                'web.public_url: "https://example.org/watch" holds more than a host; the page has a host of its own, without a path'
            ],
        ),
        ('public_url = "https://watch.example.org:8443/"', []),
    ],
)
def test_what_is_said_of_the_page(text: str, expected: list[str]) -> None:
    """Each mistake is told with its value and a remedy; an address for others needs users."""
    assert expected == problems(f"[web]\n{text}{FOLDER}")


def test_values_are_written_one_way() -> None:
    """Names and networks are compared as they are kept: in lower case, without a dot at the end, as networks."""
    web = parse(
        '[web]\nhosts = ["Watch.Example.ORG.", "[::1]"]\ntrusted_proxies = ["10.1.2.3", "10.0.0.9/24"]\n'
        f'users_file = "users"\npublic_url = "https://Desk.example.org/"{FOLDER}'
    ).web
    assert ("watch.example.org", "::1") == web.hosts
    assert ("10.1.2.3/32", "10.0.0.0/24") == web.trusted_proxies
    assert Path("/etc/identifai-watch/users") == web.users_file
    assert ("desk.example.org", "https://Desk.example.org") == (web.public_host, web.public_url)


def test_a_new_address_needs_a_restart() -> None:
    """All of [web] but its address is taken by a reload."""
    old = parse(f'[web]\nhosts = ["a"]{FOLDER}')
    assert [] == config.restart_needed(old, parse(f'[web]\nhosts = ["b"]{FOLDER}'))
    assert ["web.listen"] == config.restart_needed(old, parse(f'[web]\nlisten = "127.0.0.1:1"{FOLDER}'))
