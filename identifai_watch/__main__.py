"""``python -m identifai_watch``: the same as the command ``identifai-watch``."""

from identifai_watch.cli import main

main()
