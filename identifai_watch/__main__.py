"""The program: ``identifai-watch``, and ``python -m identifai_watch``."""

import os
import sys

from identifai_watch import completing


def main() -> None:
    """Answer a shell that completes a line, else run the command line."""
    if completing.VARIABLE in os.environ:
        sys.exit(completing.answer(os.environ))
    from identifai_watch import cli  # noqa: PLC0415 - a shell that asks at each press of a key does not wait for it

    cli.main()


if __name__ == "__main__":
    main()
