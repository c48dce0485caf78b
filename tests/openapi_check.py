"""Hold an answer of the simulator against the OpenAPI document that ships with it."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from identifai_watch.simulator.service import OPENAPI


@cache
def document() -> dict[str, Any]:
    """Return the document as values."""
    parsed: dict[str, Any] = yaml.safe_load(OPENAPI.read_text())
    return parsed


@cache
def _checker() -> OpenAPI:
    return OpenAPI.from_dict(document())


def validate(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise an exception of openapi-core unless the document allows this answer; ``path`` may carry a query."""
    parts = urlsplit(path)
    server = document()["servers"][0]["url"]
    request = MockRequest(server, method.lower(), parts.path, args=dict(parse_qsl(parts.query)))
    lowered = {name.lower(): value for name, value in headers.items()}
    kind = lowered.get("content-type", "").partition(";")[0]
    _checker().validate_response(request, MockResponse(body, status, lowered, content_type=kind))
