"""Runs in a session: plays a film of 1280x720 at 25 frames per second in a window, with Xlib only.

Its pictures are created before it begins and stored in the X server, so playing costs almost nothing: moving waves of
color with grain, and a bright ball moving through them. It prints "playing" when it begins.
"""

import ctypes
import math
import random
import time

WIDTH, HEIGHT, FRAMES, FRAMES_S = 1280, 720, 25, 25
ZPIXMAP = 2

x11 = ctypes.CDLL("libX11.so.6")
for name in ("XOpenDisplay", "XDefaultGC", "XCreateImage", "XDefaultVisual"):
    getattr(x11, name).restype = ctypes.c_void_p
for name in ("XCreatePixmap", "XCreateSimpleWindow", "XDefaultRootWindow"):
    getattr(x11, name).restype = ctypes.c_ulong
display = ctypes.c_void_p(x11.XOpenDisplay(None))
gc = ctypes.c_void_p(x11.XDefaultGC(display, 0))
visual = ctypes.c_void_p(x11.XDefaultVisual(display, 0))
root = ctypes.c_ulong(x11.XDefaultRootWindow(display))
window = ctypes.c_ulong(x11.XCreateSimpleWindow(display, root, 0, 0, WIDTH, HEIGHT, 0, 0, 0))
x11.XStoreName(display, window, b"film")
x11.XMapRaised(display, window)
x11.XSync(display, 0)

random.seed(1)
across = [40 * math.sin(x / 90) + 20 * math.sin(x / 23) for x in range(WIDTH * 2)]
grain = random.randbytes(1 << 20)  # noqa: S311 -- for a picture


def colors(phase: float) -> bytes:
    """Map 256 levels to one channel: a wave, so that each channel moves differently."""
    return bytes(int(128 + 110 * math.sin(level / 256 * 4 * math.pi + phase)) for level in range(256))


def picture(number: int) -> bytearray:
    """A frame, with 4 bytes per pixel."""
    turn = 2 * math.pi * number / FRAMES
    levels = bytearray()
    shift = round(WIDTH * number / FRAMES)
    line = bytes(int(value + 128) & 255 for value in across[shift : shift + WIDTH])
    for y in range(HEIGHT):
        offset = int(30 * math.sin(y / 60 + turn) + y / 3) & 255
        levels += line.translate(bytes((level + offset) & 255 for level in range(256)))
    pixels = bytearray(WIDTH * HEIGHT * 4)
    for channel, phase in enumerate((0.0, turn, 2.1 + turn)):
        pixels[channel::4] = levels.translate(colors(phase))
    noise = grain[: WIDTH * HEIGHT].translate(bytes(level // 16 for level in range(256)))
    start = random.randrange(1 << 16)  # noqa: S311 -- for a picture
    pixels[1::4] = bytes(map(int.__xor__, pixels[1::4], noise[start:] + noise[:start]))
    middle_x, middle_y = WIDTH // 2 + int(400 * math.cos(turn)), HEIGHT // 2 + int(200 * math.sin(turn))
    for y in range(-60, 61):
        half_width = int(math.sqrt(60 * 60 - y * y))
        start_byte = ((middle_y + y) * WIDTH + middle_x - half_width) * 4
        pixels[start_byte : start_byte + 8 * half_width] = b"\xff\xf0\xe0\x00" * (2 * half_width)
    return pixels


pixmaps = []
for number in range(FRAMES):
    content = picture(number)
    buffer = (ctypes.c_char * len(content)).from_buffer(content)
    image = ctypes.c_void_p(x11.XCreateImage(display, visual, 24, ZPIXMAP, 0, buffer, WIDTH, HEIGHT, 32, 0))
    pixmap = ctypes.c_ulong(x11.XCreatePixmap(display, root, WIDTH, HEIGHT, 24))
    x11.XPutImage(display, pixmap, gc, image, 0, 0, 0, 0, WIDTH, HEIGHT)
    x11.XSync(display, 0)
    pixmaps.append(pixmap)

print("playing", flush=True)
began = time.monotonic()
number = 0
while True:
    x11.XCopyArea(display, pixmaps[number % FRAMES], window, gc, 0, 0, WIDTH, HEIGHT, 0, 0)
    x11.XFlush(display)
    number += 1
    time.sleep(max(0.0, began + number / FRAMES_S - time.monotonic()))
