"""`python -m greenroom.recipes` runs `greenroom.recipes.command`, and handles Ctrl-C also during its import."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from greenroom.recipes.command import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        from greenroom.kit import program

        program.exit_interrupted()
