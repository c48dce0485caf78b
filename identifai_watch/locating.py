"""Where the configuration is looked for; what it says is left to ``config``."""

from collections.abc import Mapping
from pathlib import Path

from identifai_watch.errors import ConfigError

VARIABLE = "IDENTIFAI_WATCH_CONFIG"
SYSTEM = Path("/etc/identifai-watch/config.toml")


def places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where a configuration is looked for when none is named, first come first."""
    home = environ.get("HOME", "")
    user = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    return (
        Path("identifai-watch.toml"),
        *((Path(user, "identifai-watch", "config.toml"),) if user else ()),
        SYSTEM,
    )


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the configuration to use: the named one, that of the environment, else the first that is there.

    Raises:
        ConfigError: the named one is not there, or none is; then every place is named.
    """
    if explicit is not None:
        return _there(explicit, "--config")
    named = environ.get(VARIABLE, "")
    if named:
        return _there(Path(named), f"${VARIABLE}")
    looked_at = places(environ)
    for place in looked_at:
        if place.is_file():
            return place
    listed = "".join(f"\n  {place}" for place in ("--config PATH", f"${VARIABLE}", *looked_at))
    raise ConfigError(
        [f"there is no configuration; it is looked for at:{listed}\nidentifai-watch init writes one"]
    )


def _there(path: Path, named_by: str) -> Path:
    if not path.is_file():
        raise ConfigError(
            [f"{named_by}: {path} is not there, or is no file; identifai-watch init writes one"]
        )
    return path
