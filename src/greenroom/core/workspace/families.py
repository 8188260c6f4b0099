"""Images of known makers, and what a new workspace of one begins with, where its administrator says nothing else.

Its maker is known by a part of its name: `kasmweb/chrome`, `lscr.io/linuxserver/webtop`, `r.example/a/kasmweb/gimp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from greenroom.core.workspace.run_config import merged

FAMILIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "kasmweb": {
        "port": 6901,
        "protocol": "https",
        "auth_user": "kasm_user",
        "start_page": "vnc.html?autoconnect=1&resize=remote&path={path}/websockify"
        "&clipboard_up={allow_kasm_clipboard_up}&clipboard_down={allow_kasm_clipboard_down}",
        "port_map": {
            "audio": 4901,
            "audio_input": 4904,
            "uploads": 4902,
            "downloads": "Downloads",
            "gamepad": 4903,
            "webcam": 4905,
        },
    },
    "linuxserver": {
        "port": 3000,
        "protocol": "http",
        "auth_user": "abc",
        "page_path": "/{path}/",
        "port_map": {"audio": "audio", "uploads": "files", "downloads": "files"},
        "run_config": {
            "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"],
            "environment": {
                "CUSTOM_USER": "abc",
                "PASSWORD": "{password}",
                "SUBFOLDER": "/{path}/",
                "PUID": "1000",
                "PGID": "1000",
                "START_DOCKER": "false",
                "SELKIES_AUDIO_ENABLED": "{allow_kasm_audio}|locked",
                "SELKIES_MICROPHONE_ENABLED": "{allow_kasm_microphone}|locked",
                "SELKIES_GAMEPAD_ENABLED": "{allow_kasm_gamepad}|locked",
                "SELKIES_CLIPBOARD_IN_ENABLED": "{allow_kasm_clipboard_up}|locked",
                "SELKIES_CLIPBOARD_OUT_ENABLED": "{allow_kasm_clipboard_down}|locked",
                "SELKIES_FILE_TRANSFERS": "{transfers}",
                "SELKIES_ENABLE_SHARING": "false|locked",
            },
        },
    },
}
"""Part of the name → fields of the workspace (docs/reference/foreign-images.md)."""


def with_defaults(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields of a new workspace of the image `name`, and those that images of its maker need besides. Of
    `run_config` each option, and of its variables each one, may be given.
    """
    maker = next((part for part in name.split("/")[:-1] if part in FAMILIES), None)
    if maker is None:
        return dict(given)
    found = FAMILIES[maker]
    made = {**found, **given}
    if "run_config" in found and "run_config" in given:
        made["run_config"] = merged(found["run_config"], given["run_config"])
    return made
