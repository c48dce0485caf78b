"""``[web]``: where the page listens, under which names it answers, and who may use it."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, field_validator, model_validator

from identifai_watch.config.values import (
    Count,
    Listen,
    OptionalFilePath,
    Section,
    is_loopback,
    listen_address,
    split_address,
    text,
    wrong,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")

WHO = "set web.users_file, or web.user_header with web.trusted_proxies, or listen on 127.0.0.1"


def _host(value: object) -> str:
    host = text(value).strip().lower().strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    if _NAME.fullmatch(host) is None:
        raise ValueError(f'"{value}" is no name of a host; write it without a port, like watch.example.org')
    return host.rstrip(".")


def _proxy(value: object) -> str:
    try:
        return str(ipaddress.ip_network(text(value), strict=False))
    except ValueError:
        raise ValueError(
            f'"{value}" is no address; write one like 10.0.0.2, or a network like 10.0.0.0/24'
        ) from None


Host = Annotated[str, BeforeValidator(_host)]
Proxy = Annotated[str, BeforeValidator(_proxy)]
Text = Annotated[str, BeforeValidator(text)]


class Web(Section):
    """``[web]``: the page; an empty ``listen`` is off.

    Without users whoever comes from this machine may do what commands do, and nobody else may. ``user_header`` is the
    header in which a reverse proxy names the user, believed from ``trusted_proxies`` alone. Thumbnails take at most
    ``previews_megabytes``.
    """

    listen: Listen = "127.0.0.1:8451"
    public_url: Text = ""
    hosts: tuple[Host, ...] = ()
    users_file: OptionalFilePath = None
    user_header: Text = ""
    trusted_proxies: tuple[Proxy, ...] = ()
    previews_megabytes: Count = 200

    @field_validator("public_url")
    @classmethod
    def _address_of_a_host(cls, address: str) -> str:
        parts = split_address(address)
        if address and (parts is None or parts.scheme not in {"http", "https"}):
            raise ValueError(f'"{address}" is no address; it is like https://watch.example.org')
        if parts is None:
            return ""
        if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(
                f'"{address}" holds more than a host; the page has a host of its own, without a path'
            )
        return address.rstrip("/")

    @field_validator("user_header")
    @classmethod
    def _name_of_a_header(cls, header: str) -> str:
        if header and _HEADER.fullmatch(header) is None:
            raise ValueError(f'"{header}" is no name of a header; it is like X-Remote-User')
        return header

    @model_validator(mode="after")
    def _is_not_open_to_all(self) -> "Web":
        found: list[tuple[tuple[str, ...], str]] = []
        if self.user_header and not self.trusted_proxies:
            words = f'"{self.user_header}" would be believed from nobody; name the reverse proxy in web.trusted_proxies'
            found.append((("user_header",), words))
        address = self.address
        if address is not None and not is_loopback(address[0]) and not self.names_users:
            found.append((("listen",), f'"{self.listen}" would be open to whoever reaches it; {WHO}'))
        if found:
            raise wrong(found)
        return self

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None when the page is off."""
        return listen_address(self.listen)

    @property
    def names_users(self) -> bool:
        """Whether it is told who somebody is, by a token or by the reverse proxy."""
        return self.users_file is not None or self.user_header != ""

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the reverse proxies that are believed."""
        return tuple(ipaddress.ip_network(proxy) for proxy in self.trusted_proxies)

    @property
    def public_host(self) -> str | None:
        """The host that people write into their browser, where it is a reverse proxy's."""
        return urlsplit(self.public_url).hostname if self.public_url else None
