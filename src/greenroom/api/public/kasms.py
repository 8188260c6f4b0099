"""Sessions in the published shape, where they are called kasms."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from psycopg.rows import DictRow

from greenroom.api.public.shapes import dashed, date, hex_id
from greenroom.api.stream_urls import StreamUrls
from greenroom.core.states import OPERATIONAL, SessionStatus
from greenroom.db import facts, session_lists
from greenroom.db.database import Database
from greenroom.db.session_lists import SessionFilter
from greenroom.kit.secrets import Secrets

_NEVER_ON: Final = (
    "allow_kasm_clipboard_seamless",
    "allow_kasm_sharing",
    "allow_point_of_presence",
    "enable_webp",
    "kasm_audio_default_on",
    "lock_sharing_video_mode",
)
"""Client settings that clients look for and that are not offered."""


def connect_url(session_id: str, user_id: str, token: str) -> str:
    """Address of a session at the console, relative to the deployment."""
    return f"/#/connect/kasm/{session_id}/{user_id}/{token}"


def token_of(session: DictRow, secrets: Secrets) -> str:
    """The token that opens the session's stream."""
    return secrets.connect_token(str(session["session_id"]), str(session["user_id"]), session["auth_epoch"])


def kasm_shape(session: DictRow, streams: StreamUrls, token: str | None = None) -> dict[str, Any]:
    """A session.

    Args:
        session: a row of `db.session_views`.
        streams: where clients reach it.
        token: given only to those who may open the stream.
    """
    proxy = facts.proxy_facts(session)
    host, port = streams.host_and_port(proxy)
    kasm_id, agent_id = str(session["session_id"]), dashed(session["agent_id"])
    path = proxy.path_of(agent_id or "", kasm_id).removeprefix("/")
    client_settings: dict[str, Any] = dict.fromkeys(_NEVER_ON, False) | session["client_settings"]
    return {
        "kasm_id": kasm_id,
        "user_id": dashed(session["user_id"]),
        "user": {"username": session["username"]},
        "username": session["username"],
        "image_id": hex_id(session["image_id"]),
        "image": {
            "image_id": hex_id(session["image_id"]),
            "name": session["image_name"],
            "friendly_name": session["image_friendly_name"],
            "image_src": session["image_src"],
        },
        "operational_status": OPERATIONAL[SessionStatus(session["status"])],
        "token": token,
        "view_only_token": None,
        "share_id": session["share_id"],
        "created_date": date(session["created"]),
        "start_date": date(session["started"] or session["created"]),
        "expiration_date": date(session["expires"]),
        "keepalive_date": date(session["keepalive"]),
        "hostname": host,
        "host": host,
        "port": port,
        "port_map": {"vnc": {"port": port, "path": path}},
        "container_id": session["container_id"],
        "container_ip": None,
        "docker_network": None,
        "server_id": agent_id,
        "agent_installed": False,
        "zone_name": session["zone_name"],
        "point_of_presence": None,
        "cores": session["cores"],
        "memory": session["memory"],
        "gpus": 0,
        "is_persistent_profile": session["persistent_profile_mode"] is not None,
        "persistent_profile_mode": session["persistent_profile_mode"],
        "client_settings": client_settings,
        "connection_info": {},
        "queued_tasks": [],
        "staging_config_id": dashed(session["staging_config_id"]),
        "cast_config_id": None,
        "autoscale_config_id": None,
        "is_standby": False,
        "border": None,
    }


async def kasms(db: Database, streams: StreamUrls, *, user_id: str | None = None) -> list[dict[str, Any]]:
    """All sessions, or those of one user, each with the `server` it runs on."""
    shapes: list[dict[str, Any]] = []
    for session in await session_lists.list_sessions(db, SessionFilter(user_id=user_id)):
        kasm = kasm_shape(session, streams)
        server = {
            "port": kasm["port"],
            "hostname": session["hostname"],
            "zone_name": session["zone_name"],
            "provider": None,
        }
        shapes.append(kasm | {"server": server})
    return shapes


async def kasms_of_users(
    db: Database, streams: StreamUrls, user_id: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """user_id → sessions, of all users or of one."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for kasm in await kasms(db, streams, user_id=user_id):
        if kasm["user_id"]:
            found[kasm["user_id"]].append(kasm)
    return found
