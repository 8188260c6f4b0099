"""Files that a viewer puts into the session and takes out of it, where the session was made so.

    GET files/PATH/           what is allowed, and what lies in that folder of ~/Downloads, or with ?in=Uploads of ~/Uploads
    GET files/PATH/?zip       the folder as a zip file
    GET files/PATH            a file; with ?open a PDF to be shown instead of stored
    GET files/?upload=ID      how much of an upload in pieces is there
    PUT files/PATH            into ~/Uploads, under the next free name; ?upload=ID with a Content-Range: a piece of it
    DELETE files/?upload=ID   an upload in pieces is not gone on with

KASM_SVC_UPLOADS and KASM_SVC_DOWNLOADS say what is allowed: 0 or false = not.
"""

import asyncio
import json
import os
from urllib.parse import quote

import uploads
from answers import Request, reply, send_file
from folders import listing, place

ROOTS = ("Downloads", "Uploads")


def allowed(variable: str) -> bool:
    """Whether a service of the session is on."""
    return os.environ.get(variable, "1").lower() not in ("0", "false")


UPLOADS, DOWNLOADS = allowed("KASM_SVC_UPLOADS"), allowed("KASM_SVC_DOWNLOADS")


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for an address below files/."""
    names = request.parts[1:]
    if only_watches(request) and (any(names) or request.query or request.method not in ("GET", "HEAD")):
        await uploads.let_go(reader)
        refuse(writer, "403 Forbidden", "You may watch this session; its files are not open to you.")
    elif request.method == "PUT" or "upload" in request.query:
        if not UPLOADS:
            await uploads.let_go(reader)
            refuse(writer, "403 Forbidden", "Uploads into this session are not allowed.")
        elif request.method == "PUT":
            await uploads.take(names, request, reader, writer)
        else:
            uploads.progress(request, writer)
    elif request.method in ("GET", "HEAD"):
        await give(names, request, writer)
    else:
        refuse(writer, "405 Method Not Allowed", "Use GET, PUT or DELETE.")


async def give(names: list[str], request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer with a folder or a file."""
    *folders, name = names
    root = request.query.get("in", ROOTS[0])
    if not any(names) and (not DOWNLOADS or only_watches(request)):
        return reply(writer, "200 OK", json.dumps(allowances(request) | {"files": [], "folders": []}).encode())
    path = place(root, names if name else folders) if root in ROOTS else None
    attachment = "Content-Disposition: attachment; filename*=UTF-8''"
    if not DOWNLOADS:
        refuse(writer, "403 Forbidden", "Downloads from this session are not allowed.")
    elif path is None or (name and not path.is_file()):
        refuse(writer, "404 Not Found", f"There is no such file in {root if root in ROOTS else ROOTS[0]}.")
    elif name:
        # a browser shows a PDF itself, where no script of it can reach the page
        opens = "open" in request.query and name.lower().endswith(".pdf")
        await send_file(writer, request, path, (attachment.replace("attachment", "inline") if opens else attachment) + quote(name))
    elif folders and not path.is_dir():
        refuse(writer, "404 Not Found", f"There is no such folder in {root}.")
    elif "zip" in request.query:
        from archive import send_folder  # noqa: PLC0415 -- 2 MB of memory that most sessions never need

        await send_folder(writer, path, attachment + quote(f"{path.name}.zip"))
    else:
        reply(writer, "200 OK", json.dumps(allowances(request) | listing(path)).encode())
    return None


def allowances(request: Request) -> dict[str, object]:
    """What this viewer may do with files."""
    may = not only_watches(request)
    limit = uploads.max_bytes(request)
    return {"uploads": UPLOADS and may, "downloads": DOWNLOADS and may, "max_upload_bytes": limit}


def only_watches(request: Request) -> bool:
    """Whether the viewer has no part in the session but to see it; the gateway sets this."""
    return request.headers.get("x-greenroom-view-only") == "1"


def refuse(writer: asyncio.StreamWriter, status: str, sentence: str) -> None:
    """Say why not."""
    reply(writer, status, json.dumps({"error_message": sentence}).encode(), "application/json", uploads.LAST)
