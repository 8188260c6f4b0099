"""The baseline of measurements: containers started by the docker command, without Greenroom."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
import uuid
from base64 import b64encode

from bench.opened import first_frame, stream
from greenroom.agent.session.prober import pause_s
from greenroom.core.workspace.run_config import SHM_BYTES
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.docker.spec import MAX_OPEN_FILES, MAX_PIDS
from greenroom.runtimes.probe import Prober

SPEC = SessionSpec(image="", image_id="", credential="bench")
POLL_S = 0.02
"""The interval of probes of a container that starts alone. Several containers share the cores with the probes, so
the interval is then that of an Agent."""


def names(count: int) -> list[str]:
    """Names for containers."""
    return [f"gr-bench-{uuid.uuid4().hex[:8]}" for _ in range(count)]


async def start(name: str, image: str, **environment: str) -> str:
    """Run `docker run` with the limits that a session of the workspace Desktop has; returns host:port of its page.

    The CPU share is one of the limits: under load a container with Docker's default has ten times as much CPU.
    """
    process = await asyncio.create_subprocess_exec(
        "docker", "run", "-d", "--name", name, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--cpu-shares", str(round(SPEC.cores * 1024)), "--memory", str(SPEC.memory_bytes),
        "--memory-swap", str(SPEC.memory_bytes), "--pids-limit", str(MAX_PIDS), "--shm-size", str(SHM_BYTES),
        "--ulimit", f"nofile={MAX_OPEN_FILES}",
        *(word for name, value in environment.items() for word in ("-e", f"{name}={value}")),
        "-e", f"VNC_PW={SPEC.credential}", "-p", f"127.0.0.1::{SPEC.port}", image, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    port = await asyncio.create_subprocess_exec("docker", "port", name, f"{SPEC.port}/tcp", stdout=subprocess.PIPE)
    output, _ = await port.communicate()
    return output.decode().split()[0]


async def painted(prober: Prober, address: str, *, is_alone: bool) -> None:
    """Wait until the first frame is painted."""
    begun = looked = time.monotonic()
    while not (await prober.probe(address, SPEC)).usable:
        took_s = time.monotonic() - looked
        await asyncio.sleep(POLL_S if is_alone else pause_s(looked - begun, took_s))
        looked = time.monotonic()


async def seen(address: str) -> None:
    """Receive the first frame."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the container created the certificate itself
    login = b64encode(f"{SPEC.auth_user}:{SPEC.credential}".encode()).decode()
    async with stream(f"wss://{address}/websockify", {"Authorization": f"Basic {login}"}, context) as socket:
        await first_frame(socket)


def remove(containers: list[str]) -> None:
    """Remove containers."""
    subprocess.run(["docker", "rm", "-f", "-v", *containers], check=True, stdout=subprocess.DEVNULL)
