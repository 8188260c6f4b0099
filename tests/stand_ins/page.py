"""Any program with a page: HTTP on 8080, no account, a websocket at `stream`. With `--base=/PATH/` it knows its path
and serves nothing else; with `--never` it listens and answers nothing, with `--broken` it answers 500."""

from __future__ import annotations

import socket
import sys
import threading

from tests.stand_ins.serving import Handler, serve

OPTIONS = {name: value for name, _, value in (option.partition("=") for option in sys.argv[1:])}
BASE = OPTIONS.get("--base", "/")


class Program(Handler):
    websockets = (BASE + "stream",)

    @staticmethod
    def page(path: str, _sent: bytes) -> tuple[int, str]:
        if "--broken" in OPTIONS:
            return 500, "it cannot start"
        name = path.partition("?")[0]
        links = "" if BASE == "/" else BASE
        page = f"<!doctype html><title>{name}</title><a href='{links}lab'>lab</a>"
        return (200, page) if name in {BASE, BASE + "lab"} else (404, "404")


if "--never" in OPTIONS:
    listening = socket.create_server(("", 8080))
    threading.Event().wait()
else:
    serve(8080, Program).join()
