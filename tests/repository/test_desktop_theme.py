"""No desktop depends on which of its programs is ready first: what they begin with is what xfsettingsd gives them."""

from __future__ import annotations

import configparser
from pathlib import Path
from xml.etree import ElementTree as ET

ROOTFS = Path(__file__).parents[2] / "packages/desktop/src/greenroom/recipes/base/rootfs/etc"
XSETTINGS = ROOTFS / "xdg/xfce4/xfconf/xfce-perchannel-xml/xsettings.xml"
SAME = {
    "gtk-theme-name": "Net/ThemeName",
    "gtk-icon-theme-name": "Net/IconThemeName",
    "gtk-font-name": "Gtk/FontName",
    "gtk-cursor-theme-name": "Gtk/CursorThemeName",
    "gtk-xft-antialias": "Xft/Antialias",
    "gtk-xft-hinting": "Xft/Hinting",
    "gtk-xft-hintstyle": "Xft/HintStyle",
    "gtk-xft-rgba": "Xft/RGBA",
}


def test_programs_begin_with_the_theme_and_fonts_of_the_desktop():
    begun = configparser.ConfigParser()
    begun.read(ROOTFS / "gtk-3.0/settings.ini")
    given: dict[str, str] = {}
    for group in ET.parse(XSETTINGS).getroot():  # noqa: S314 -- a file of this repository
        for each in group:
            given[f"{group.get('name')}/{each.get('name')}"] = each.get("value", "")
    settings = dict(begun["Settings"])
    assert int(settings.pop("gtk-xft-dpi")) == 1024 * int(given["Xft/DPI"])
    assert settings == {name: given[same] for name, same in SAME.items()}
