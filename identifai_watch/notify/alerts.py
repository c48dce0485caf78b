"""Whom Apprise can tell: mail, Slack, Teams and many more, each by an address. The library is an extra, imported late."""

import logging
from importlib.util import find_spec

from identifai_watch.core.notices import Kind
from identifai_watch.notify.answer import TOLD, Answer

LIBRARY = "apprise"


def is_installed() -> bool:
    """Tell whether the extra is there."""
    return find_spec(LIBRARY) is not None


def alert(address: str, what: str, kind: Kind, title: str, text: str) -> Answer:
    """Tell one address of Apprise's; ``what`` names it in words, for the address itself holds secrets."""
    if not is_installed():
        return Answer(
            trouble=f"{what} needs a library: pip install 'identifai-watch[alerts]'",
            again=True,
        )
    logging.getLogger(LIBRARY).disabled = True  # what it says of a failure may show the address
    import apprise  # noqa: PLC0415 - an extra, and slow to import

    kinds = {
        Kind.OUTCOME: apprise.NotifyType.INFO,
        Kind.DIGEST: apprise.NotifyType.INFO,
        Kind.ALARM: apprise.NotifyType.FAILURE,
        Kind.HEALED: apprise.NotifyType.SUCCESS,
    }
    asset = apprise.AppriseAsset(app_id="identifai-watch", app_desc="identifai-watch", async_mode=False)
    told = apprise.Apprise(asset=asset)
    try:
        if not told.add(address):
            return Answer(trouble=f"{what} is no address that Apprise knows")
        is_told = told.notify(
            body=text or title, title=title, notify_type=kinds[kind], body_format=apprise.NotifyFormat.TEXT
        )
    except Exception as error:  # noqa: BLE001 - a stranger's plugin: what it raises may show the address
        return Answer(trouble=f"{what} was not told ({type(error).__name__})", again=True)
    return TOLD if is_told else Answer(trouble=f"{what} was not told", again=True)
