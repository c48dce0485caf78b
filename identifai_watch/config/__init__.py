"""What the operator wants, read from TOML into frozen values: ``Config`` and its ``Folder``.

All problems of a file are told at once, each with its dotted name, its value and a remedy. What the values
mean is left to those that ask for them; the disk is looked at for the file itself, the key and ``ca_file`` alone.
"""

from identifai_watch.config.folder import Events, Existing, Folder, Orphans, Unsupported
from identifai_watch.config.key import Key, read_key
from identifai_watch.config.models import (
    Api,
    Config,
    Evidence,
    Ledger,
    Limits,
    Notify,
    default_cache,
    restart_needed,
)
from identifai_watch.config.options import Options, canonical_of, form_options
from identifai_watch.config.private import Address, apprise_addresses, webhook_secret
from identifai_watch.config.source import dump, load, parse
from identifai_watch.config.web import Web
from identifai_watch.locating import find, places

__all__ = [
    "Address",
    "Api",
    "Config",
    "Events",
    "Evidence",
    "Existing",
    "Folder",
    "Key",
    "Ledger",
    "Limits",
    "Notify",
    "Options",
    "Orphans",
    "Unsupported",
    "Web",
    "apprise_addresses",
    "canonical_of",
    "default_cache",
    "dump",
    "find",
    "form_options",
    "load",
    "parse",
    "places",
    "read_key",
    "restart_needed",
    "webhook_secret",
]
