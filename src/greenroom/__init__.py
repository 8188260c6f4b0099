"""Greenroom: desktops, browsers and applications in containers, streamed to people's browsers."""
