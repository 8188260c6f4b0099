"""Small images of this machine's programs with their libraries, for the nodes of a test cluster."""

from __future__ import annotations

import subprocess
from typing import Final

from tests.support.kubernetes.cluster import Cluster

TOOL: Final = "greenroom/test-tool:1"
"""busybox and curl."""
FILTER: Final = "greenroom/test-filter:1"
"""The parts of the roles' image that a web filter needs."""
FILES: Final = {
    TOOL: ("/usr/bin/busybox", "/usr/bin/curl"),
    FILTER: (
        "/usr/sbin/squid", "/usr/lib/squid/unlinkd", "/usr/share/squid/mime.conf", "/usr/share/squid/icons",
        "/etc/squid/errorpage.css", "/bin/bash", "/bin/sh", "/usr/bin/timeout", "/bin/sleep",
        "/bin/tar", "/bin/gzip", "/usr/bin/head",
    ),
}  # fmt: skip


def loaded(kubernetes: Cluster, image: str) -> str:
    """Create the image and load it into both nodes."""
    files = " ".join(FILES[image])
    libraries = f"$(for file in {files}; do ldd $file 2>/dev/null | grep -o '/[^ ]*' || :; done | sort -u)"
    make = f"tar --create --dereference --absolute-names {files} {libraries} | docker import - {image}"
    subprocess.run(["bash", "-ec", f"set -o pipefail; {make}"], check=True, capture_output=True)
    kubernetes.load_image(image)
    return image
