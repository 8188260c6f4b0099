"""`python -m greenroom.recipes`: `greenroom.recipes.command`, with an answer to Ctrl-C from the first moment."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from greenroom.recipes.command import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        from greenroom.kit import program

        program.stopped()
