"""Numbers and lengths of time as people say them."""

from datetime import timedelta


def files(count: int) -> str:
    """Return a number of files in words."""
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def amount(credits_left: float) -> str:
    """Return a number of credits, whole ones without a fraction."""
    return f"{credits_left:,.2f}".removesuffix(".00")


def span(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 12 min, 3 h 20 min, 2 days."""
    whole = timedelta(seconds=round(seconds))
    minutes = round(whole.total_seconds() / 60)
    if whole < timedelta(seconds=90):
        return f"{whole.seconds} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.1f} days"


def size(count: int) -> str:
    """Return a number of bytes as people say it, in decimal units: 512 B, 3.4 MB."""
    if count < 1000:
        return f"{count} B"
    number, unit = float(count), ""
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.95 or unit == "TB":
            break
    return f"{number:.1f} {unit}"
