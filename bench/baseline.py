"""The baseline of measurements: containers started by the docker command, without Greenroom."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
import uuid
from base64 import b64encode

from bench.session_stream import connect_stream, receive_first_frame
from greenroom.agent.session.prober import pause_s
from greenroom.core.workspace.run_config import SHM_BYTES
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.docker.spec import MAX_OPEN_FILES, MAX_PIDS
from greenroom.runtimes.probe import Prober

SPEC = SessionSpec(image="", image_id="", credential="bench")
POLL_S = 0.02
"""The interval of probes of a container that starts alone. Several containers share the cores with the probes, so
the interval is then that of an Agent."""


def new_names(count: int) -> list[str]:
    """Names for containers."""
    return [f"gr-bench-{uuid.uuid4().hex[:8]}" for _ in range(count)]


async def start_container(name: str, image: str, **environment: str) -> str:
    """Run `docker run` with the limits that a session of the workspace Desktop has; returns host:port of its page.

    The CPU share is one of the limits: under load a container with Docker's default has ten times as much CPU.
    """
    process = await asyncio.create_subprocess_exec(
        "docker", "run", "-d", "--name", name, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--cpu-shares", str(round(SPEC.cores * 1024)), "--memory", str(SPEC.memory_bytes),
        "--memory-swap", str(SPEC.memory_bytes), "--pids-limit", str(MAX_PIDS), "--shm-size", str(SHM_BYTES),
        "--ulimit", f"nofile={MAX_OPEN_FILES}",
        *(argument for name, value in environment.items() for argument in ("-e", f"{name}={value}")),
        "-e", f"VNC_PW={SPEC.credential}", "-p", f"127.0.0.1::{SPEC.port}", image, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    port = await asyncio.create_subprocess_exec("docker", "port", name, f"{SPEC.port}/tcp", stdout=subprocess.PIPE)
    output, _ = await port.communicate()
    return output.decode().split()[0]


async def wait_until_painted(prober: Prober, address: str, *, is_alone: bool) -> None:
    """Wait until the first frame is painted."""
    start_s = probe_s = time.monotonic()
    while not (await prober.probe(address, SPEC)).usable:
        duration_s = time.monotonic() - probe_s
        await asyncio.sleep(POLL_S if is_alone else pause_s(probe_s - start_s, duration_s))
        probe_s = time.monotonic()


async def receive_frame(address: str) -> None:
    """Receive the first frame."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the container created the certificate itself
    login = b64encode(f"{SPEC.auth_user}:{SPEC.credential}".encode()).decode()
    async with connect_stream(f"wss://{address}/websockify", {"Authorization": f"Basic {login}"}, context) as socket:
        await receive_first_frame(socket)


def remove_containers(containers: list[str]) -> None:
    """Remove containers."""
    subprocess.run(["docker", "rm", "-f", "-v", *containers], check=True, stdout=subprocess.DEVNULL)
