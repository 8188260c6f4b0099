"""`python -m greenroom`: the same as the command `greenroom`."""

from greenroom.cli.main import main

main()
