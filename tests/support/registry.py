"""A container registry for tests: Debian's docker-registry, with a password."""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

from tests.support.processes import free_port

USER: Final = "puller"
PASSWORD: Final = "open sesame"
HTPASSWD: Final = "puller:$2y$04$WZpJH2LRB3SxY1/A9zQjPOUL6b8VwLzL0V5.OSGBjtU7PLqzgm.j2\n"

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{host}"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}
"""


class Registry:
    """`host` is host:port as in an image's name; `daemon` is the Docker that fills it, by default this host's."""

    def __init__(self, folder: Path, address: str, port: int, daemon: str | None = None) -> None:
        self.folder = folder
        self._daemon = [f"--host={daemon}"] if daemon is not None else []
        self.host = f"{address}:{port}"
        (folder / "htpasswd").write_text(HTPASSWD)
        (folder / "config.yml").write_text(CONFIG.format(folder=folder, host=self.host))
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._pushed: list[str] = []
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=2)
            except HTTPError:
                return  # it requests a login
            except OSError:  # also no answer within 2 s
                assert self._process.poll() is None, "docker-registry ended"
                assert time.monotonic() < end, "docker-registry does not answer"
                time.sleep(0.05)  # it sends no notification

    def push(self, name: str) -> str:
        """Push a new image of one file, and remove it from this host; returns its full name."""
        whole = f"{self.host}/{name}"
        content = uuid.uuid4().bytes
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("file")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        self._docker("import", "-", whole, input=archive.getvalue())
        return self._pushed_as(whole)

    def push_copy(self, image: str, name: str) -> str:
        """Push an image of the host under another name; returns its full name."""
        whole = f"{self.host}/{name}"
        self._docker("tag", image, whole)
        return self._pushed_as(whole)

    def move_tag(self, repository: str, tag: str, source: str) -> None:
        """Let `tag` refer to the image of the tag `source`; this host is not informed."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        kind = "application/vnd.docker.distribution.manifest.v2+json"

        def manifest(name: str, **options: Any) -> bytes:
            headers = {"Authorization": f"Basic {login}", "Accept": kind, "Content-Type": kind}
            address = f"http://{self.host}/v2/{repository}/manifests/{name}"
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers, **options)) as answer:  # noqa: S310
                return answer.read()

        manifest(tag, data=manifest(source), method="PUT")

    def _pushed_as(self, whole: str) -> str:
        self._docker("login", "--username", USER, "--password-stdin", self.host, input=PASSWORD.encode())
        self._docker("push", whole)
        self._docker("rmi", whole)
        self._pushed.append(whole)
        return whole

    def _docker(self, *arguments: str, **options: Any) -> None:
        subprocess.run(
            ["docker", *self._daemon, "--config", str(self.folder / "docker"), *arguments],
            check=True,
            capture_output=True,
            **options,
        )

    def close(self) -> None:
        """End the registry, and remove from its host the images that were pulled from it."""
        for name in self._pushed:
            subprocess.run(["docker", *self._daemon, "rmi", "--force", name], check=False, capture_output=True)
        self._process.terminate()
        self._process.wait(10)


def started(folder: Path, address: str = "127.0.0.1", daemon: str | None = None) -> Registry:
    """Start a registry in `folder` on a free port of this machine's `address`. If it is not 127.0.0.1, `daemon` and
    all other users must be configured to use it without TLS."""
    folder.mkdir(parents=True, exist_ok=True)
    return Registry(folder, address, free_port(), daemon)
