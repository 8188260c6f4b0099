"""Reverse proxies in front of an instance, with the configurations of their page."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.open_desktop import open_desktop
from tests.support.processes import free_port

from greenroom.up import tls

PAGE = Path(__file__).parents[2] / "docs/howto/behind-a-reverse-proxy.md"
PUBLIC = "127.0.0.9"
"""Replaces the public name and address of a proxy on the machine of the instance."""


class Proxied:
    """An instance as reached through the proxy at `url`."""

    def __init__(self, instance: Instance, url: str) -> None:
        self.url = url
        self.ca = instance.ca
        self._auth = (instance.found["api_key"], instance.found["api_key_secret"])

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"{self.url}{path}", verify=self.ca(), auth=self._auth, timeout=15, trust_env=False)

    def call(self, method: str, path: str, **options: Any) -> Any:
        url = f"{self.url}/api/v1{path}"
        answer = httpx2.request(method, url, verify=self.ca(), auth=self._auth, timeout=15, trust_env=False, **options)
        assert answer.is_success, answer.text
        return answer.json()


def of_the_page(language: str, replaced: dict[str, str]) -> str:
    """The configuration of the page in this language, with different addresses and files."""
    block = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    text = block[1]
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(instance: Instance, port: int, stream: int, public: str = PUBLIC, greenroom: str = "127.0.0.1") -> list[str]:
    """The command of nginx of the distribution; writes its configuration."""
    text = of_the_page(
        "nginx",
        {
            "203.0.113.5:443": f"{public}:{port}",
            "203.0.113.5:8445": f"{public}:{stream}",
            "127.0.0.1:8443": f"{greenroom}:{instance.port}",
            "127.0.0.1:8445": f"{greenroom}:{stream}",
            "desk.example.org": public,
            "/etc/ssl/desk": str(instance.folder / "proxy"),
            "/var/lib/greenroom/ca.pem": instance.found["ca_file"],
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {instance.folder}/{kind};\n" for kind in kinds)
    file = instance.folder / "proxy.conf"
    file.write_text(
        f"daemon off;\npid {instance.folder}/proxy.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    return ["/usr/sbin/nginx", "-c", str(file), "-e", str(instance.folder / "proxy.log")]


def caddy(instance: Instance, port: int, stream: int) -> list[str]:
    """The command of Caddy of the distribution, with a certificate of the instance in place of a public one; writes its
    configuration."""
    proxy = instance.folder / "proxy"
    text = of_the_page(
        "caddy",
        {
            "import greenroom 8443": f"import greenroom {instance.port}",
            "import greenroom 8445": f"import greenroom {stream}",
            "desk.example.org:8445": f"https://{PUBLIC}:{stream}",
            "desk.example.org {": f"https://{PUBLIC}:{port} {{",
            "bind 203.0.113.5": f"bind {PUBLIC}\n    tls {proxy}.pem {proxy}.key",
            "/var/lib/greenroom/ca.pem": instance.found["ca_file"],
        },
    )
    file = instance.folder / "Caddyfile"
    file.write_text(
        f"{{\nadmin off\nauto_https disable_redirects\nstorage file_system {instance.folder}/caddy\n}}\n{text}"
    )
    return ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", str(file)]


@contextmanager
def proxy(
    instance: Instance, port: int, command: Callable[[Instance, int, int], list[str]], public: str = PUBLIC
) -> Iterator[Proxied]:
    """A proxy in front of the instance."""
    authority = Path(instance.found["ca_file"]), instance.data / "tls" / "ca.key"
    tls.ensure_pair(authority, instance.folder / "proxy", [public], datetime.now(UTC))
    stream = urlsplit(instance.found["stream_url"]).port
    assert stream is not None
    home = {"HOME": str(instance.folder), "PATH": os.defpath}
    with subprocess.Popen(command(instance, port, stream), env=home) as process:
        try:
            proxied = Proxied(instance, f"https://{public}:{port}")
            wait_for(lambda: _answers(proxied), "the proxy serves")
            yield proxied
        finally:
            process.terminate()


def _answers(proxied: Proxied) -> bool:
    try:
        return proxied.get("/api/__healthcheck").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def port() -> int:
    """The port of the proxy."""
    return free_port()


@pytest.fixture(scope="module")
def published(openbox_image: str, port: int) -> Iterator[Instance]:
    """An instance that its users reach through a proxy."""
    with running_instance(
        "--public-url", f"https://{PUBLIC}:{port}", GREENROOM_DESKTOP_IMAGE=openbox_image
    ) as instance:
        yield instance


def assert_desktop_opens(instance: Instance, proxied: Proxied, public: str) -> None:
    """Assert that the console of the proxy names the addresses of the proxy, and that a desktop opens in it."""
    console = proxied.get("/")
    assert console.status_code == httpx2.codes.OK
    stream = f"https://{public}:{urlsplit(instance.found['stream_url']).port}"
    assert stream in console.headers["content-security-policy"]
    assert public in proxied.call("GET", "/zones")[0]["allow_origin_domain"].split(",")
    session_id = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs", 120)
    with open_desktop(proxied, session_id) as desktop:
        assert desktop.goes_on()


@pytest.mark.parametrize("command", [nginx, caddy])
def test_console_and_desktop_open_through_a_proxy(
    published: Instance, port: int, command: Callable[[Instance, int, int], list[str]]
):
    assert published.url == f"https://127.0.0.1:{published.port}"
    with proxy(published, port, command) as proxied:
        assert_desktop_opens(published, proxied, PUBLIC)


@pytest.fixture
def proxy_machine() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Another machine, connected by a cable: the address of this machine, that of the other one, and the command
    prefix that runs a program there."""
    name = f"gr{uuid.uuid4().hex[:6]}"
    inside = ("ip", "netns", "exec", name)
    commands = (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name),
        ("ip", "addr", "add", "10.178.0.1/30", "dev", name),
        ("ip", "link", "set", name, "up"),
        (*inside, "ip", "addr", "add", "10.178.0.2/30", "dev", "eth0"),
        (*inside, "ip", "link", "set", "eth0", "up"),
    )
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
        yield "10.178.0.1", "10.178.0.2", inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)  # the cable ends with it


def test_a_desktop_opens_through_a_proxy_on_another_machine(
    openbox_image: str, port: int, proxy_machine: tuple[str, str, tuple[str, ...]]
):
    here, there, inside = proxy_machine

    def command(instance: Instance, port: int, stream: int) -> list[str]:
        return [*inside, *nginx(instance, port, stream, public=there, greenroom=here)]

    address = f"https://{there}:{port}"
    options = ("--hostname", here, "--public-url", address)
    with running_instance(*options, GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        assert instance.found["public_url"] == address
        with proxy(instance, port, command, there) as proxied:
            assert_desktop_opens(instance, proxied, there)
