"""Measure each image of the catalogue and take a screenshot. `python -m bench.recipes [NAME…]` writes the rows of
the table in docs/reference/recipes.md and docs/images/recipe-NAME.png; run images/build catalogue first."""

from __future__ import annotations

import asyncio
import io
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import async_playwright

from bench import raw
from greenroom.core.catalogue.entries import MIB, Recipe
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.recipes import shelf
from greenroom.runtimes.probe import Prober

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reference/recipes.md"
STARTS = 3
SETTLES_S = 20.0
"""The time after which an application has completed its start."""
IDLE_S = 20.0
WIDTH, HEIGHT = 1280, 800
CHROMIUM = "/usr/bin/chromium"


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def _own_mb(image: str) -> float:
    """The size of the image without the shared base, in MB."""
    base = _docker("image", "inspect", "-f", '{{index .Config.Labels "greenroom.base"}}', image)
    sizes = [int(_docker("image", "inspect", "-f", "{{.Size}}", name)) for name in (image, base)]
    return (sizes[0] - sizes[1]) / 1e6


def _start(recipe: Recipe, image: str) -> tuple[str, str]:
    """Run a container with the settings of the recipe's workspace; returns its name and address."""
    (name,) = raw.names(1)
    config = recipe.workspace.run_config
    tmpfs = [f"--tmpfs={path}:{options}" for path, options in config.get("tmpfs", {}).items()]
    _docker(
        *(
            "run",
            "-d",
            "--name",
            name,
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--shm-size",
            "512m",
        ),
        *("--pids-limit", "512", "--memory", f"{recipe.workspace.memory_mb}m"),
        *(["--read-only"] if config.get("read_only") else []),
        *tmpfs,
        *("-e", f"VNC_PW={raw.SPEC.credential}", "-p", f"127.0.0.1::{recipe.workspace.port}", image),
    )
    return name, _docker("port", name, f"{recipe.workspace.port}/tcp").split()[0]


def _group(name: str) -> dict[str, Any]:
    """Docker's statistics of a container."""
    command = ["curl", "-s", "--unix-socket", "/var/run/docker.sock", f"http://d/containers/{name}/stats?stream=false"]
    return json.loads(subprocess.check_output(command))


async def _measured(recipe: Recipe) -> tuple[str, Image.Image]:
    image = shelf.reference(recipe)
    spec = SessionSpec(image=image, image_id="", credential=raw.SPEC.credential, ready_path=recipe.workspace.ready_path)
    prober = Prober()
    firsts: list[float] = []
    name = ""
    try:
        for _ in range(STARTS):
            if name:
                raw.remove([name])
            begun = time.monotonic()
            name, address = await asyncio.to_thread(_start, recipe, image)
            while not (await prober.probe(address, spec)).usable:
                await asyncio.sleep(raw.POLL_S)
            firsts.append(time.monotonic() - begun)
        await asyncio.sleep(SETTLES_S)
        before = _group(name)
        await asyncio.sleep(IDLE_S)
        after = _group(name)
        address = _docker("port", name, f"{recipe.workspace.port}/tcp").split()[0]
        picture = await (_page(address, recipe) if recipe.kind == "page" else _screen(prober, address, spec))
    finally:
        raw.remove([name])
        await prober.close()
    memory = after["memory_stats"]
    kept = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    used = after["cpu_stats"]["cpu_usage"]["total_usage"] - before["cpu_stats"]["cpu_usage"]["total_usage"]
    shown = f"[picture](../images/recipe-{recipe.name}.png)"
    return (
        f"| `{recipe.name}` | {recipe.friendly_name} | {recipe.kind} | {_own_mb(image):.0f} MB"
        f" | {statistics.median(firsts):.1f} s | {(memory['usage'] - kept) / MIB:.0f} MiB"
        f" | {used / 1e9 / IDLE_S:.3f} | {shown} |"
    ), picture


async def _screen(prober: Prober, address: str, spec: SessionSpec) -> Image.Image:
    return Image.open(io.BytesIO(await prober.screenshot(address, spec, WIDTH, HEIGHT)))


async def _page(address: str, recipe: Recipe) -> Image.Image:
    login: Any = {"username": recipe.workspace.auth_user, "password": raw.SPEC.credential}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            ignore_https_errors=True, http_credentials=login, viewport={"width": WIDTH, "height": HEIGHT}
        )
        page = await context.new_page()
        await page.goto(f"https://{address}/{recipe.workspace.start_page}")
        await asyncio.sleep(SETTLES_S)
        picture = await page.screenshot()
        await browser.close()
    return Image.open(io.BytesIO(picture))


def _keep(name: str, picture: Image.Image) -> None:
    small = picture.convert("RGB").resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    small.quantize(256).save(DOCS / f"images/recipe-{name}.png", optimize=True)


async def _run(names: list[str]) -> None:
    for recipe in shelf.all_recipes():
        if names and recipe.name not in names:
            continue
        row, picture = await _measured(recipe)
        print(row, flush=True)
        _keep(recipe.name, picture)
        text = PAGE.read_text()
        found = re.compile(rf"^\| `{recipe.name}` \|.*\n", re.MULTILINE)
        PAGE.write_text(found.sub(lambda _, row=row: f"{row}\n", text))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
