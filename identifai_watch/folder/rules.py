"""Which names in a folder are not looked at: junk, half-written files, our own output, and what the operator says.

Each answer names its rule, for ``explain``. The file ``.identifai-ignore`` is in ``ignores``.
"""

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from pathspec import GitIgnoreSpec

_OWN = re.compile(rb"\.identifai-|.*\.identifai(-\d+)?\.json$|.*\.identifai\.heatmap(-\d+)?\.png$", re.DOTALL)
# Names that begin with a dot are a rule of their own.
_JUNK_DIRECTORIES = (
    "__MACOSX",
    "@eaDir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@Recently-Snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "*.lrdata",
    "*.photoslibrary",
)
_JUNK_FILES = ("Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "~$*", "*~")
_UNFINISHED = (
    "*.part",
    "*.partial",
    "*.tmp",
    "*.temp",
    "*.crdownload",
    "*.download",
    "*.filepart",
    "*.opdownload",
    "*.!ut",
    "*.aria2",
    "*.ocTransferId*",
)
# One look at a name that says whether the tables above may have a word for it: a scan asks a million times.
_SUSPECT = re.compile(
    rb"~|.*(?:~|\r|\.db|\.ini|\.identifai.*|\.oc.*|\.!ut|\.aria2"
    rb"|\.(?:te?mp|part|partial|crdownload|download|filepart|opdownload))$",
    re.IGNORECASE | re.DOTALL,
)

PLAIN = re.compile(
    rb"[^.~\r][^.]*\.(?:jpe?g|png|webp|tiff?|heic|heif|avif|mp4|mov|mkv|webm|avi|mp3|wav|m4a|flac)",
    re.IGNORECASE,
)
"""Names of which the tables above have nothing to say: most of a million, told for a quarter of what asking them costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator says of a folder.

    ``include`` and ``exclude`` are globs in the manner of .gitignore, relative to the folder; no ``include`` is
    all. ``destinations`` are the folder's own, relative to it. ``xmp`` is whether its XMP files are extended: then none
    of them is a media file.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    destinations: tuple[bytes, ...] = ()
    xmp: bool = False


def why_not_file(path: bytes, rules: Rules) -> str | None:
    """Name the rule by which the file ``path`` is not looked at, None if there is none.

    The directories above it are asked too.
    """
    parent, _, name = path.rpartition(b"/")
    return why_not_directory(parent, rules) or why_not_entry(path, name, rules)


def why_not_directory(path: bytes, rules: Rules) -> str | None:
    """Name the rule by which nothing in the directory ``path`` is looked at; the root is b"" and always is."""
    if not path:
        return None
    names = path.split(b"/")
    for depth, name in enumerate(names, 1):
        reason = why_not_descend(b"/".join(names[:depth]), name, rules)
        if reason is not None:
            return reason
    return None


def why_not_entry(path: bytes, name: bytes, rules: Rules) -> str | None:
    """As ``why_not_file`` for one whose directory is known to be looked at; ``name`` is the path's last."""
    if name[:1] == b"." or _SUSPECT.match(name):
        reason = _named(name)
        if reason is not None:
            return reason
    if rules.xmp and name[-4:].lower() == b".xmp":
        return "an XMP file, which is written beside its file here"
    if not rules.exclude and not rules.include:
        return None
    return _unwanted(path, rules)


def why_not_descend(path: bytes, name: bytes, rules: Rules) -> str | None:
    """As ``why_not_directory`` for one whose parent is known to be looked at; ``name`` is the path's last."""
    if not rules.recursive:
        return "the folder is not recursive"
    if name.startswith(b"."):
        return f"a directory whose name begins with a dot: {os.fsdecode(name)}"
    pattern = _matched(_JUNK_DIRECTORIES, name)
    if pattern is not None:
        return f"junk: {pattern}"
    if path in rules.destinations:
        return f"this folder's own destination: {os.fsdecode(path)}"
    return _excluded_directory(path, rules)


def gitignore(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """Compile globs in the manner of .gitignore."""
    return GitIgnoreSpec.from_lines(patterns)


def matching(spec: GitIgnoreSpec, patterns: tuple[str, ...], path: str) -> str | None:
    """Say which of ``patterns`` decides that ``path`` matches, None if it does not."""
    # Most paths match none of the globs, and to ask them is far cheaper than what git makes of those that do.
    if not any(pattern.match_file(path) for pattern in spec.patterns if pattern.include is not None):
        return None
    found = spec.check_file(path)
    return None if not found.include or found.index is None else patterns[found.index]


_compiled = lru_cache(maxsize=64)(gitignore)


def _named(name: bytes) -> str | None:
    """Name the rule by which a file of this name is never looked at, in any folder."""
    if _OWN.match(name):
        return "written by identifai-watch itself"
    if name.startswith(b"."):
        return "its name begins with a dot"
    for says, patterns in (("junk", _JUNK_FILES), ("still being written", _UNFINISHED)):
        pattern = _matched(patterns, name)
        if pattern is not None:
            return f"{says}: {pattern}"
    return None


def _unwanted(path: bytes, rules: Rules) -> str | None:
    text = os.fsdecode(path)
    pattern = matching(_compiled(rules.exclude), rules.exclude, text)
    if pattern is not None:
        return f"exclude: {pattern}"
    if rules.include and matching(_compiled(rules.include), rules.include, text) is None:
        return f"not in include: {', '.join(rules.include)}"
    return None


def _excluded_directory(path: bytes, rules: Rules) -> str | None:
    """Prune what is excluded as a whole; with a negated glob something below may be wanted all the same."""
    if not rules.exclude or any(pattern.startswith("!") for pattern in rules.exclude):
        return None
    pattern = matching(_compiled(rules.exclude), rules.exclude, os.fsdecode(path) + "/")
    return None if pattern is None else f"exclude: {pattern}"


def _matched(patterns: tuple[str, ...], name: bytes) -> str | None:
    """Name the glob that ``name`` matches, whatever its case."""
    lower = name.lower()
    for pattern in patterns:
        if fnmatchcase(lower, os.fsencode(pattern.lower())):
            return pattern.strip()
    return None
