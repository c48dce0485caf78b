"""The endpoints: what each request is answered, once it is known whose it is and that it may come now.

Order for each: what goes wrong first, the whole body, then the account's checks, then the request itself: as it is
behind a proxy that buffers bodies.
"""

import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import formatdate
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from identifai_watch.core.model import Label, Media
from identifai_watch.simulator import faults
from identifai_watch.simulator.forms import field_errors, is_taken
from identifai_watch.simulator.heatmap import png
from identifai_watch.simulator.script import Check, Endpoint, Fault, RetryAfter, to_json
from identifai_watch.simulator.state import Received, State
from identifai_watch.simulator.upload import Form, receive
from identifai_watch.simulator.verdicts import is_done

OPENAPI = Path(__file__).with_name("openapi.yaml")

_SUFFIX = {Media.IMAGE: "", Media.VIDEO: "_video", Media.AUDIO: "_audio"}
_BULK_MOST = 100

Read = Callable[[Request], Awaitable[Any]]
Answer = Callable[[Request, Any], Response]
Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """The endpoints over a state, which may be replaced while they serve."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        """Return every endpoint with its aliases, and the simulator's own three."""
        return [
            *(route for media in Media for route in self._routes_of(media)),
            Route("/api/user/credits", self._served(Endpoint.CREDITS, None, _read_nothing, self._credits)),
            Route("/openapi.yaml", self._openapi),
            Route("/simulator/state", self._show_state),
            Route("/simulator/script", self._show_script, methods=["GET"]),
            Route("/simulator/script", self._change_script, methods=["POST"]),
        ]

    def _routes_of(self, media: Media) -> list[Route]:
        suffix = _SUFFIX[media]
        upload = self._served(
            Endpoint.UPLOAD, media, _read_form, lambda request, form: self._submit(request, form, media)
        )
        from_url = self._served(
            Endpoint.FROM_URL, media, _read_form, lambda _, form: self._fetch(form, media)
        )
        single = self._served(
            Endpoint.RESULT, media, _read_nothing, lambda request, _: self._result(request, media)
        )
        bulk = self._served(
            Endpoint.RESULTS, media, _read_nothing, lambda request, _: self._results(request, media)
        )
        force = self._served(
            Endpoint.OVERRIDE, media, _read_json, lambda request, body: self._override(request, body, media)
        )
        routes = [
            Route(f"/api/classification{suffix}", upload, methods=["POST"]),
            Route(f"/api/{media}_fromurl", from_url, methods=["POST"]),
            Route(f"/api/classifications{suffix}", bulk),
            Route(f"/api/classification{suffix}/{{hash}}/override", force, methods=["POST"]),
            Route(f"/api/classification{suffix}/{{identifier}}", single),
        ]
        if media is Media.IMAGE:
            heatmap = self._served(Endpoint.HEATMAP, media, _read_nothing, self._heatmap)
            routes[:0] = [
                Route("/api/classification/heatmap/{identifier}", heatmap),
                Route("/api/classification_image/heatmap/{identifier}", heatmap),
                Route("/api/classification_image/{identifier}", single),
                Route("/api/classifications_image", bulk),
            ]
        return routes

    def _served(self, endpoint: Endpoint, media: Media | None, read: Read, answer: Answer) -> Handler:
        """Return a handler that has a request of this kind pass all that may befall it, and remembers it."""

        async def handle(request: Request) -> Response:
            at = request.state.arrived_at = time.monotonic()
            state = self.state
            fault = state.arrive(endpoint, media)
            try:
                response = await self._pass(request, fault, at, read, answer)
            except ClientDisconnect:
                response = faults.Unanswered(reset=False)
            status = None if isinstance(response, faults.Unanswered) else response.status_code
            url = request.url
            state.record(
                Received(
                    endpoint=endpoint,
                    method=request.method,
                    path=url.path,
                    query=url.query,
                    at=at,
                    status=status,
                )
            )
            return response

        return handle

    async def _pass(
        self, request: Request, fault: Fault | None, at: float, read: Read, answer: Answer
    ) -> Response:
        early = await faults.before_reading(request, fault)
        if early is not None:
            return early
        body = await read(request)
        wrong = faults.instead(fault)
        if wrong is not None and fault is not None and not fault.carried_out:
            return wrong
        right = self._refusal(request, at) or answer(request, body)
        return await faults.afterwards(request, fault, right if wrong is None else wrong)

    # Whose request is it, and may it come now?

    def _refusal(self, request: Request, at: float) -> Response | None:
        limit = self.state.script.request_line_limit
        if 0 < limit < len(f"{request.method} {request.url.path}?{request.url.query} HTTP/1.1"):
            return faults.page(414)
        for check in self.state.script.order:
            refusal = self._check(check, request, at)
            if refusal is not None:
                return refusal
        (self.state.posts if request.method == "POST" else self.state.gets).admit(at)
        return None

    def _check(self, check: Check, request: Request, at: float) -> Response | None:
        script = self.state.script
        match check:
            case Check.KEY:
                key = request.headers.get("x-api-key", "")
                is_known = key == script.key if script.key is not None else key != ""
                return None if is_known else JSONResponse({"error": "Unauthorized"}, 401)
            case Check.TERMS:
                return None if script.terms_accepted else _forbidden()
            case Check.LIMITS:
                wait = self._wait(request.method, at)
                return _throttled(wait, script.retry_after) if wait > 0 else None

    def _wait(self, method: str, at: float) -> float:
        limits = self.state.script.limits
        if method == "POST":
            return self.state.posts.wait(
                at, per_second=limits.posts_per_second, per_minute=limits.posts_per_minute
            )
        return self.state.gets.wait(at, per_second=limits.gets_per_second, per_minute=limits.gets_per_minute)

    # The vendor's endpoints.

    def _submit(self, request: Request, form: Form, media: Media) -> Response:
        script = self.state.script
        upload = form.uploads.get(media)
        errors = field_errors(media, form.fields, script.refused_fields)
        if upload is None:
            errors = {media: [f"The {media} field is required."], **errors}
        if upload is None or errors:
            return JSONResponse(errors, 400)
        if upload.size > script.max_bytes.get(media, upload.size):
            text = f"The uploaded file exceeds the maximum allowed size of {script.max_text.get(media)}."
            return JSONResponse({"error": text}, 400)
        if upload.size == 0 or not is_taken(media, upload.mime):
            return JSONResponse({"error": "The uploaded file format is not supported."}, 400)
        submission = self.state.submit(
            media, upload, form.fields, arrived_at=request.state.arrived_at, at=time.monotonic()
        )
        if submission is None:
            return JSONResponse(script.credits_body, 400)
        if "application/json" in request.headers.get("accept", "").split(","):
            return JSONResponse({"identifier": submission.identifier})
        return PlainTextResponse(submission.identifier)

    def _fetch(self, form: Form, media: Media) -> Response:
        errors = field_errors(media, form.fields, self.state.script.refused_fields)
        if not form.fields.get("file_url"):
            errors = {"file_url": ["The file url field is required."], **errors}
        return JSONResponse(errors or {"error": "The file could not be fetched."}, 400)

    def _result(self, request: Request, media: Media) -> Response:
        result = self.state.result(media, request.path_params["identifier"])
        return _forbidden() if result is None else JSONResponse(result)

    def _results(self, request: Request, media: Media) -> Response:
        asked = list(dict.fromkeys(request.query_params.getlist("identifiers[]")))
        if not asked:
            return JSONResponse({"identifiers": ["The identifiers field is required."]}, 400)
        if len(request.query_params.getlist("identifiers[]")) > _BULK_MOST:
            text = f"The identifiers field must not have more than {_BULK_MOST} items."
            return JSONResponse({"identifiers": [text]}, 400)
        results = [self.state.result(media, identifier) for identifier in asked]
        found = [result for result in results if result is not None]
        if len(found) < len(asked) and self.state.script.unknown_in_bulk == "403":
            return _forbidden()
        random.Random(repr(asked)).shuffle(found)  # noqa: S311  # any order that is not the asker's will do
        return JSONResponse(found)

    def _heatmap(self, request: Request, _: object) -> Response:
        result = self.state.result(Media.IMAGE, request.path_params["identifier"])
        if result is None or not is_done(result) or not result.get("has_heatmap"):
            return _forbidden()
        return Response(png(bytes.fromhex(result["hash"])), media_type="image/png")

    def _override(self, request: Request, body: object, media: Media) -> Response:
        label = body.get("classification") if isinstance(body, Mapping) else None
        if label not in set(Label):
            return JSONResponse({"classification": ["The selected classification is invalid."]}, 400)
        name: str = request.path_params["hash"]
        try:
            is_known = self.state.force(media, bytes.fromhex(name), Label(label))
        except ValueError:
            is_known = False
        return (
            JSONResponse({"classification": label, "type": media, "hash": name}) if is_known else _forbidden()
        )

    def _credits(self, _: Request, __: object) -> Response:
        left, spent = self.state.credits()
        return JSONResponse({"available_credits": left, "total_spent": spent})

    # The simulator's own.

    async def _openapi(self, _: Request) -> Response:
        return Response(OPENAPI.read_bytes(), media_type="application/yaml")

    async def _show_state(self, _: Request) -> Response:
        return JSONResponse(self.state.summary())

    async def _show_script(self, _: Request) -> Response:
        return JSONResponse(to_json(self.state.script))

    async def _change_script(self, request: Request) -> Response:
        changes = await _read_json(request)
        if not isinstance(changes, dict):
            return JSONResponse({"error": "a JSON object with fields of the script is needed"}, 400)
        try:
            return JSONResponse(to_json(self.state.change(changes)))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)


async def _read_nothing(request: Request) -> None:
    async for _ in request.stream():
        pass


async def _read_form(request: Request) -> Form:
    chunks: AsyncIterator[bytes] = request.stream()
    return await receive(request.headers.get("content-type", ""), chunks)


async def _read_json(request: Request) -> object:
    try:
        document: object = loads(await request.body())
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    return document


def _forbidden() -> Response:
    return JSONResponse({"error": "Forbidden"}, 403)


def _throttled(wait: float, how: RetryAfter) -> Response:
    seconds = math.ceil(wait)
    headers = {
        RetryAfter.NONE: {},
        RetryAfter.SECONDS: {"Retry-After": str(seconds)},
        RetryAfter.DATE: {"Retry-After": formatdate(time.time() + seconds, usegmt=True)},
    }
    return JSONResponse({"message": "Too Many Attempts."}, 429, headers=headers[how])
