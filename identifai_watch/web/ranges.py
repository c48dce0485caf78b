"""Which part of a file a player asks for (RFC 9110, 14): one range, for more are answered with the whole."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def part(asked: str | None, size: int) -> range | None:
    """Return the bytes of a file of ``size`` that a Range header asks for; None if there are none such.

    What is no range that we know, or several, asks for all.
    """
    match = None if asked is None else _RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return range(size)
    if match[1] == "":
        last = min(int(match[2]), size)
        return range(size - last, size) if last else None
    first = int(match[1])
    end = size if match[2] == "" else min(int(match[2]) + 1, size)
    if match[2] != "" and int(match[2]) < first:
        return range(size)
    return range(first, end) if first < end else None
