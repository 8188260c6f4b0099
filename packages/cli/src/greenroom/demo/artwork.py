"""The pictures of the demo: artwork of workspaces, and the screens of simulated sessions, drawn from their names."""

from __future__ import annotations

import hashlib
import random
from colorsys import hls_to_rgb
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

_SIDE: Final = 512
_SCREEN: Final = (960, 600)


def _random_of(name: str) -> random.Random:
    return random.Random(hashlib.sha256(name.encode()).digest())  # noqa: S311 -- chooses colors, protects nothing


def _color(hue: float, lightness: float, saturation: float) -> Color:
    red, green, blue = hls_to_rgb(hue % 1, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _gradient(size: tuple[int, int], top: Color, bottom: Color) -> Image.Image:
    width, height = size
    picture = Image.new("RGB", size)
    for y in range(height):
        share = y / (height - 1)
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        picture.paste((red, green, blue), (0, y, width, y + 1))
    return picture


def draw_artwork(name: str) -> bytes:
    """Return the picture of a workspace as a PNG: arcs in the colors of its name, and its first letter."""
    chance = _random_of(name)
    hue = chance.random()
    picture = _gradient((_SIDE, _SIDE), _color(hue, 0.5, 0.5), _color(hue + 0.08, 0.24, 0.55))
    draw = ImageDraw.Draw(picture)
    for ring in range(4):
        radius = 130 + 75 * ring
        x, y = chance.choice(((0, _SIDE), (_SIDE, _SIDE), (_SIDE, 0)))
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, outline=_color(hue + 0.04 * ring, 0.68, 0.6), width=14)
    letter = next((character for character in name if character.isascii() and character.isalnum()), "G").upper()
    font = ImageFont.load_default(250)
    draw.text((_SIDE / 2, _SIDE / 2), letter, font=font, fill=(255, 255, 255), anchor="mm")
    return _png(picture)


def draw_screen(name: str) -> bytes:
    """Return the screen of a session as a PNG: a desktop with one window, whose title is the name of the workspace."""
    chance = _random_of(name)
    hue = chance.random()
    width, height = _SCREEN
    picture = _gradient(_SCREEN, _color(hue, 0.38, 0.4), _color(hue + 0.1, 0.18, 0.45))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width, 26), fill=(28, 30, 34))
    font = ImageFont.load_default(15)
    draw.text((14, 13), name, font=font, fill=(235, 235, 235), anchor="lm")
    left, top, right, bottom = 90, 70, width - 90, height - 60
    draw.rounded_rectangle((left, top, right, bottom), 10, fill=(250, 250, 251))
    draw.rounded_rectangle((left, top, right, top + 40), 10, fill=_color(hue, 0.3, 0.3))
    draw.rectangle((left, top + 24, right, top + 40), fill=_color(hue, 0.3, 0.3))
    draw.text((left + 20, top + 20), name, font=font, fill=(255, 255, 255), anchor="lm")
    draw.rectangle((left, top + 40, left + 170, bottom - 10), fill=_color(hue, 0.93, 0.3))
    for row in range(12):
        y = top + 66 + row * 32
        draw.rounded_rectangle((left + 20, y, left + 20 + chance.randint(60, 130), y + 10), 5, fill=(188, 193, 200))
        line = chance.randint(120, right - left - 240)
        shade = _color(hue, 0.72, 0.45) if row % 4 == 0 else (214, 217, 222)
        draw.rounded_rectangle((left + 200, y, left + 200 + line, y + 10), 5, fill=shade)
    return _png(picture)


def write_screens(folder: Path, names: dict[str, str]) -> dict[str, str]:
    """Write the screen of each image into a folder, and return image → file. `names` maps each image to the name of its
    workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for image, name in names.items():
        file = folder / f"{hashlib.sha256(image.encode()).hexdigest()[:16]}.png"
        if not file.exists():
            file.write_bytes(draw_screen(name))
        files[image] = str(file)
    return files


def _png(picture: Image.Image) -> bytes:
    output = BytesIO()
    picture.save(output, "PNG", optimize=True)
    return output.getvalue()
