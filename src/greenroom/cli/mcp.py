"""`greenroom mcp`: the Model Context Protocol on standard input and output, with the answers of `/mcp`."""

from __future__ import annotations

import typer

from greenroom.cli.verbs import Call, command


def register(app: typer.Typer) -> None:
    """Add the command to `greenroom`."""
    app.command("mcp")(command(mcp))


def mcp(call: Call) -> None:
    """Speak the Model Context Protocol on standard input and output, for a program that starts this command.

    Its tools lease desktops and use them with the API key. It ends with its input.
    """
    call.client.get("/permissions")  # an address or a key that is wrong is one sentence now
    import anyio  # noqa: PLC0415 -- the protocol's library takes a second, which no other command spends

    from greenroom.cli.forwarding import forward  # noqa: PLC0415

    anyio.run(forward, call.client.server)
