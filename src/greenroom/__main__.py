"""The command `greenroom`, also `python -m greenroom`: a role runs without the rest of the command line.

Everything is imported within `main`, so that Ctrl-C is answered from the first moment.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point; after Ctrl-C the exit code is 130."""
    try:
        _run()
    except KeyboardInterrupt:
        from greenroom.kit import program  # noqa: PLC0415

        program.exit_interrupted()


def _run() -> None:
    from greenroom.kit import program  # noqa: PLC0415

    if len(sys.argv) == 2 and sys.argv[1] in program.ROLES:
        program.run_role(sys.argv[1])
        return
    program.block_imports("httpx._main", "trio", "h2")  # httpx and httpcore import them where they are installed: 0.1 s
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # else pydantic reads the metadata of all packages
    try:
        from greenroom.cli.main import main as command_line  # noqa: PLC0415 -- a role does not need it
    except ModuleNotFoundError as error:
        if error.name != "greenroom.cli":
            raise
        package = "greenroom-cli"
        sys.exit(f"greenroom: the commands are in the package {package}, which is not installed: pip install {package}")
    command_line()


if __name__ == "__main__":
    main()
