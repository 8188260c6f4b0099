"""`greenroom mcp`: a server for the Model Context Protocol on standard input and output. It forwards requests to
`/mcp`."""

from __future__ import annotations

from typing import Annotated

import typer

from greenroom.cli.nouns import NOUNS
from greenroom.cli.verbs import Call, command
from greenroom.kit import plugins

User = Annotated[
    str | None,
    typer.Option(
        metavar="USER", help="User of the leased sessions, by username or id. Default: the owner of the API key."
    ),
]


@command
def mcp(call: Call, *, user: User = None) -> None:
    """Run a server for the Model Context Protocol (MCP) on standard input and output.

    Its tools lease desktops and use them with the API key. The server ends at the end of its input.
    """
    call.client.get("/permissions")  # reports a wrong address or key in one sentence
    user_id = None if user is None else NOUNS["users"].find_id(call.client, user)
    # Only this command needs these imports; the import of the MCP library takes a second.
    import asyncio  # noqa: PLC0415

    serve = plugins.command_function("mcp")
    server = call.client.server
    asyncio.run(serve(server.url, (server.key, server.secret), server.tls, user_id, through_proxy=not server.is_local))
