"""The delivery: the verdict goes where people look, as a sidecar beside the file and the file in the right folder.

Nothing is deleted or overwritten, and every step may be repeated: a delivery that was cut short at any point
is finished by the next one. ``choose`` finds a free name before anything is touched, so that the ledger can
commit it; ``deliver`` then does the work. ``announce`` says that a verdict is pending, ``put_aside`` takes away what
lies beside nothing.
"""

from identifai_watch.delivery.aside import announce, put_aside
from identifai_watch.delivery.carry import choose, deliver
from identifai_watch.delivery.order import Delivery, DeliveryError, Order, SourceChanged, SourceGone, Taken

__all__ = [
    "Delivery",
    "DeliveryError",
    "Order",
    "SourceChanged",
    "SourceGone",
    "Taken",
    "announce",
    "choose",
    "deliver",
    "put_aside",
]
