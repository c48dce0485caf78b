"""A multipart form as it streams in: fields are kept, the file is hashed and let go.

A video of 5 GB takes no memory. What the body lacks, a closing boundary say, it lacks in the result too.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_MAX_FIELD = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The one file of a form: the field it came in, its name and MIME name as sent, its size and SHA-256."""

    part: str
    name: str
    mime: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form that arrived whole; empty if it was no multipart form or broke off."""

    fields: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)


class _Reading:
    """The parser's callbacks: one part after the other, each either a field or a file."""

    def __init__(self) -> None:
        self.form = Form()
        self.is_whole = False
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part = ""
        self._name: str | None = None
        self._text = bytearray()
        self._hash = hashlib.sha256()
        self._size = 0

    def on_part_begin(self) -> None:
        self._headers = {}
        self._text = bytearray()
        self._hash = hashlib.sha256()
        self._size = 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part = options.get(b"name", b"").decode("utf-8", "replace")
        name = options.get(b"filename")
        self._name = None if name is None else name.decode("utf-8", "replace")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._name is not None:
            self._hash.update(memoryview(data)[start:end])
        elif self._size <= _MAX_FIELD:
            self._text += data[start:end]

    def on_part_end(self) -> None:
        if self._name is None:
            self.form.fields[self._part] = self._text.decode("utf-8", "replace")
            return
        self.form.uploads[self._part] = Upload(
            part=self._part,
            name=self._name,
            mime=self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower(),
            size=self._size,
            sha256=self._hash.digest(),
        )

    def on_end(self) -> None:
        self.is_whole = True


async def receive(content_type: str, chunks: AsyncIterator[bytes]) -> Form:
    """Read ``chunks`` to their end, whatever they are, and return the form that they held."""
    reading = _Reading()
    parser = _parser(content_type, reading)
    async for chunk in chunks:
        if parser is not None and chunk:
            try:
                parser.write(chunk)
            except FormParserError:
                parser = None
    return reading.form if parser is not None and reading.is_whole else Form()


def _parser(content_type: str, reading: _Reading) -> MultipartParser | None:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        return None
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": reading.on_part_begin,
                "on_header_field": reading.on_header_field,
                "on_header_value": reading.on_header_value,
                "on_header_end": reading.on_header_end,
                "on_headers_finished": reading.on_headers_finished,
                "on_part_data": reading.on_part_data,
                "on_part_end": reading.on_part_end,
                "on_end": reading.on_end,
            },
        )
    except FormParserError:
        return None
