"""Stands in for an image of kasmweb: KasmVNC's page and stream on HTTPS 6901 with Basic, and beside it a websocket of
sound, one for the microphone, and a server that takes files, each unless its KASM_SVC_… says 0. The page's client makes
the address of its websocket of `path` in its query, from the root of the host; HEAD is 404 there."""

from __future__ import annotations

import os
from pathlib import Path

from tests.stand_ins.serving import Handler, own_certificate, serve

CLIENT = """<!doctype html><title>connecting</title><script>
const path = new URLSearchParams(location.search).get('path') || 'websockify';
const stream = new WebSocket(`wss://${location.host}/${path}`, 'binary');
stream.onmessage = () => { document.title = 'connected'; };
stream.onclose = () => { document.title = 'closed'; };
</script><p>A desktop of others.</p>"""

UPLOADS = Path("/home/kasm-user/Uploads/file")
DOWNLOADS = Path("/home/kasm-user/Downloads")


class Desktop(Handler):
    answers_head = False
    websockets = ("/websockify",)

    @staticmethod
    def page(path: str, _sent: bytes) -> tuple[int, str]:
        name = path.partition("?")[0]
        if name in {"/", "/index.html", "/vnc.html"}:
            return 200, CLIENT
        listing = ",".join(file.name for file in DOWNLOADS.iterdir())
        return (200, listing) if name.startswith("/Downloads/") else (404, "404")


class Sound(Handler):
    """It asks for no account."""

    websockets = ("/",)

    @staticmethod
    def page(_path: str, _sent: bytes) -> tuple[int, str]:
        return 426, ""


class Uploads(Handler):
    @staticmethod
    def page(path: str, sent: bytes) -> tuple[int, str]:
        UPLOADS.write_bytes(sent)
        return 200, f"{path}: {len(sent)} bytes"


def main() -> None:
    account = f"kasm_user:{os.environ.pop('VNC_PW')}"
    Desktop.account = Uploads.account = account
    (DOWNLOADS / "report.pdf").write_text("of the user")
    certificate = own_certificate("/home/kasm-user/self.pem")
    for variable, port, handler in (
        ("KASM_SVC_AUDIO", 4901, Sound),
        ("KASM_SVC_UPLOADS", 4902, Uploads),
        ("KASM_SVC_AUDIO_INPUT", 4904, Sound),
    ):
        if os.environ.get(variable, "1") == "1":
            serve(port, handler, certificate)
    serve(6901, Desktop, certificate).join()


main()
