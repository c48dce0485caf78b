"""The address under which people find a file: the folder's own path, or what their share calls it (``shown_as``)."""

import re
from urllib.parse import quote

from identifai_watch.core.sidecar import shown

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:\\")


def address(base: str, path: bytes) -> str:
    r"""Return where people find ``path``, relative to a folder that they know as ``base``.

    Below a URL every byte that is not its own is percent-encoded, below a Windows path directories are parted by
    backslashes, and else it is a path, safe to print. A ``path`` that is absolute lies outside of the folder, and is shown
    as it is.
    """
    if path.startswith(b"/"):
        return shown(path)
    if _URL.match(base):
        return f"{base.rstrip('/')}/{quote(path)}" if path else base
    if base.startswith("\\\\") or _DRIVE.match(base):
        base, path = base.rstrip("\\"), path.replace(b"/", b"\\")
        return f"{base}\\{shown(path)}" if path else base
    return f"{base.rstrip('/')}/{shown(path)}" if path else base
