"""Stands in for an image of linuxserver: it begins as root, changes to its account, and serves HTTP on 3000, with Basic
if there is a PASSWORD, below SUBFOLDER and nowhere else. It has the addresses of both generations: `websockify` and
`audio/socket.io` of KasmVNC with kclient, `websocket` of Selkies, `files` of both. Its links begin with SUBFOLDER."""

from __future__ import annotations

import os
import sys

from tests.stand_ins.serving import Handler, serve

FOLDER = os.environ.get("SUBFOLDER", "/")

CLIENT = (
    f"""<!doctype html><title>connecting</title><script src="{FOLDER}client.js"></script><p>A desktop of others.</p>"""
)
SCRIPT = f"""const stream = new WebSocket(`wss://${{location.host}}{FOLDER}websocket`);
stream.onmessage = () => {{ document.title = 'connected'; }};
stream.onclose = () => {{ document.title = 'closed'; }};"""


class Desktop(Handler):
    websockets = tuple(FOLDER + name for name in ("websockify", "websocket", "audio/socket.io"))

    @staticmethod
    def page(path: str, _sent: bytes) -> tuple[int, str]:
        name = path.partition("?")[0]
        if name.startswith(Desktop.websockets):
            return 426, ""
        known = {
            FOLDER: CLIENT,
            FOLDER + "client.js": SCRIPT,
            FOLDER + "files": "the files",
            FOLDER + "environment": "\n".join(f"{key}={value}" for key, value in os.environ.items()),
        }
        return (200, known[name]) if name in known else (404, "404")


def main() -> None:
    if not (FOLDER.startswith("/") and FOLDER.endswith("/")):
        sys.exit("SUBFOLDER needs a slash at both ends")
    account, group = int(os.environ.get("PUID", "911")), int(os.environ.get("PGID", "911"))
    os.chown("/config", account, group)
    os.setgroups([])
    os.setgid(group)
    os.setuid(account)
    if password := os.environ.get("PASSWORD"):
        Desktop.account = f"{os.environ.get('CUSTOM_USER', 'abc')}:{password}"
    serve(int(os.environ.get("CUSTOM_PORT", "3000")), Desktop).join()


main()
