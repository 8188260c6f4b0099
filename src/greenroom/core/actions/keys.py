"""Names of keys, as xdotool defines them, and their X11 keysyms (keysymdef.h of the X protocol headers)."""

from __future__ import annotations

import re
from typing import Final

from greenroom.core.errors import Invalid
from greenroom.core.text import suggest_name

MAX_KEYS: Final = 8
"""Maximum number of keys that are held down at the same time."""
MAX_CHORDS: Final = 100
"""Maximum number of chords in one action."""

_KEYSYM_BLOCKS: Final = {
    0x20: "space exclam quotedbl numbersign dollar percent ampersand apostrophe parenleft parenright asterisk plus "
    "comma minus period slash",
    0x3A: "colon semicolon less equal greater question at",
    0x5B: "bracketleft backslash bracketright asciicircum underscore grave",
    0x7B: "braceleft bar braceright asciitilde",
    0xFE50: "dead_grave dead_acute dead_circumflex dead_tilde dead_macron dead_breve dead_abovedot dead_diaeresis",
    0xFF08: "BackSpace Tab Linefeed Clear",
    0xFF13: "Pause Scroll_Lock Sys_Req",
    0xFF50: "Home Left Up Right Down Page_Up Page_Down End Begin",
    0xFF60: "Select Print Execute Insert",
    0xFF65: "Undo Redo Menu Find Cancel Help Break",
    0xFF89: "KP_Tab",
    0xFF95: "KP_Home KP_Left KP_Up KP_Right KP_Down KP_Page_Up KP_Page_Down KP_End KP_Begin KP_Insert KP_Delete",
    0xFFAA: "KP_Multiply KP_Add KP_Separator KP_Subtract KP_Decimal KP_Divide "
    "KP_0 KP_1 KP_2 KP_3 KP_4 KP_5 KP_6 KP_7 KP_8 KP_9",
    0xFFBE: " ".join(f"F{number}" for number in range(1, 36)),
    0xFFE1: "Shift_L Shift_R Control_L Control_R Caps_Lock Shift_Lock Meta_L Meta_R Alt_L Alt_R Super_L Super_R "
    "Hyper_L Hyper_R",
}
"""The first keysym of a block → the names of the keys in the block, with consecutive keysyms."""
_SINGLE_KEYSYMS: Final = {
    "Return": 0xFF0D,
    "Escape": 0xFF1B,
    "Multi_key": 0xFF20,
    "Mode_switch": 0xFF7E,
    "Num_Lock": 0xFF7F,
    "KP_Space": 0xFF80,
    "KP_Enter": 0xFF8D,
    "KP_Equal": 0xFFBD,
    "Delete": 0xFFFF,
    "ISO_Left_Tab": 0xFE20,
    "ISO_Level3_Shift": 0xFE03,
    "EuroSign": 0x20AC,
    "XF86AudioLowerVolume": 0x1008FF11,
    "XF86AudioMute": 0x1008FF12,
    "XF86AudioRaiseVolume": 0x1008FF13,
    "XF86AudioPlay": 0x1008FF14,
    "XF86AudioStop": 0x1008FF15,
    "XF86AudioPrev": 0x1008FF16,
    "XF86AudioNext": 0x1008FF17,
    "XF86Back": 0x1008FF26,
    "XF86Forward": 0x1008FF27,
    "XF86Refresh": 0x1008FF29,
}
KEYSYMS: Final[dict[str, int]] = {
    **{name: first + index for first, names in _KEYSYM_BLOCKS.items() for index, name in enumerate(names.split())},
    **_SINGLE_KEYSYMS,
}
ALIASES: Final = {
    "ctrl": "Control_L",
    "control": "Control_L",
    "shift": "Shift_L",
    "alt": "Alt_L",
    "option": "Alt_L",
    "altgr": "ISO_Level3_Shift",
    "meta": "Meta_L",
    "super": "Super_L",
    "cmd": "Super_L",
    "command": "Super_L",
    "win": "Super_L",
    "windows": "Super_L",
    "enter": "Return",
    "esc": "Escape",
    "del": "Delete",
    "ins": "Insert",
    "spacebar": "space",
    "pgup": "Page_Up",
    "pgdn": "Page_Down",
    "prior": "Page_Up",
    "next": "Page_Down",
    "arrowleft": "Left",
    "arrowright": "Right",
    "arrowup": "Up",
    "arrowdown": "Down",
    "contextmenu": "Menu",
    "printscreen": "Print",
}
"""Other common names of keys, in lower case."""


def _folded(name: str) -> str:
    return name.lower().replace("_", "")


_KEYSYMS_BY_FOLDED_NAME: Final = {
    **{_folded(name): keysym for name, keysym in KEYSYMS.items()},
    **{alias: KEYSYMS[name] for alias, name in ALIASES.items()},
}


def keysym_of(name: str) -> int:
    """Return the keysym of a key. `name` is a single character, a code point such as `U20AC`, or the name of a key, in
    which case and underscores are ignored. Raises Invalid: there is no such key."""
    if len(name) == 1 and (name.isprintable() or name == " "):
        return keysym_of_character(name)
    if name in KEYSYMS:
        return KEYSYMS[name]
    if (keysym := _KEYSYMS_BY_FOLDED_NAME.get(_folded(name))) is not None:
        return keysym
    if re.fullmatch(r"U[0-9A-Fa-f]{4,6}", name) and 0x20 <= (code := int(name[1:], 16)) <= 0x10FFFF:
        return keysym_of_character(chr(code))
    suggestion = suggest_name(name, [*KEYSYMS, *ALIASES], "keys are named as in Return, ctrl+s, Page_Down or F5.")
    raise Invalid(f"there is no key {name[:40]!r}; {suggestion}")


def keysym_of_character(character: str) -> int:
    """Return the keysym of a character: its code in Latin-1, otherwise 0x01000000 plus its code point."""
    code = ord(character)
    return code if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF else 0x01000000 + code


def chord_of(text: str) -> tuple[int, ...]:
    """Return the keysyms of a chord such as `ctrl+s` or `ctrl++`, in the order in which the keys are pressed. Raises
    Invalid: the text is empty, names an unknown key, or has more than `MAX_KEYS` keys."""
    if text == "+" or text.endswith("++"):
        names = [*(text[:-2].split("+") if len(text) > 2 else []), "+"]
    else:
        names = text.split("+")
    if names == [""]:
        raise Invalid("the name of a key is missing; write one like Return or ctrl+s.")
    if len(names) > MAX_KEYS:
        raise Invalid(f"{len(names)} keys are pressed together; the maximum is {MAX_KEYS}.")
    return tuple(dict.fromkeys(keysym_of(name) for name in names))


def chords_of(text: str) -> tuple[tuple[int, ...], ...]:
    """Return the chords of a text such as `ctrl+a Delete`, in order. The spaces in `ctrl + a` are ignored. Raises
    Invalid: as for `chord_of`, or the text has more than `MAX_CHORDS` chords.
    """
    parts = re.sub(r"(?<=\S) +\+ +(?=\S)", "+", text).split()
    if len(parts) > MAX_CHORDS:
        raise Invalid(f"{len(parts)} chords follow each other; the maximum is {MAX_CHORDS}. Send them in parts.")
    return tuple(chord_of(part) for part in parts) or (chord_of(text),)
