"""Wait until a program provides the settings of the desktop. Such a program owns the X selection _XSETTINGS_S0.

If no program owns the selection within LIMIT_S, exit with an error. The desktop starts anyway, with default settings.
"""

import ctypes
import sys
import time

LIMIT_S = 10
POLL_S = 0.02

x11 = ctypes.CDLL("libX11.so.6")
x11.XOpenDisplay.restype = ctypes.c_void_p
x11.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
x11.XInternAtom.restype = ctypes.c_ulong
x11.XGetSelectionOwner.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
x11.XGetSelectionOwner.restype = ctypes.c_ulong

display = x11.XOpenDisplay(None)
if not display:
    sys.exit("there is no display")
settings = x11.XInternAtom(display, b"_XSETTINGS_S0", 0)
begin_s = time.monotonic()
while not x11.XGetSelectionOwner(display, settings):
    if time.monotonic() - begin_s > LIMIT_S:
        sys.exit(f"no program provides the settings of the desktop after {LIMIT_S} s")
    time.sleep(POLL_S)
