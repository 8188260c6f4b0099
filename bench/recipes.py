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

from bench import baseline
from greenroom.core.catalogue.entries import MIB, Recipe
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.recipes import shelf
from greenroom.runtimes.probe import Prober

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reference/recipes.md"
STARTS = 3
SETTLE_S = 20.0
"""The time after which an application has completed its start."""
IDLE_S = 20.0
WIDTH, HEIGHT = 1280, 800
CHROMIUM = "/usr/bin/chromium"


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _own_layer_mb(image: str) -> float:
    """The size of the image without the shared base, in MB."""
    base = _docker("image", "inspect", "-f", '{{index .Config.Labels "greenroom.base"}}', image)
    sizes = [int(_docker("image", "inspect", "-f", "{{.Size}}", name)) for name in (image, base)]
    return (sizes[0] - sizes[1]) / 1e6


def _start(recipe: Recipe, image: str) -> tuple[str, str]:
    """Run a container with the settings of the recipe's workspace; returns its name and address."""
    (name,) = baseline.new_names(1)
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
        *("-e", f"VNC_PW={baseline.SPEC.credential}", "-p", f"127.0.0.1::{recipe.workspace.port}", image),
    )
    return name, _docker("port", name, f"{recipe.workspace.port}/tcp").split()[0]


def _read_statistics(name: str) -> dict[str, Any]:
    """Docker's statistics of a container."""
    command = ["curl", "-s", "--unix-socket", "/var/run/docker.sock", f"http://d/containers/{name}/stats?stream=false"]
    return json.loads(subprocess.check_output(command))


async def _measure(recipe: Recipe) -> tuple[str, Image.Image]:
    image = shelf.reference(recipe)
    spec = SessionSpec(
        image=image, image_id="", credential=baseline.SPEC.credential, ready_path=recipe.workspace.ready_path
    )
    prober = Prober()
    start_times_s: list[float] = []
    name = ""
    try:
        for _ in range(STARTS):
            if name:
                baseline.remove_containers([name])
            start_s = time.monotonic()
            name, address = await asyncio.to_thread(_start, recipe, image)
            while not (await prober.probe(address, spec)).usable:
                await asyncio.sleep(baseline.POLL_S)
            start_times_s.append(time.monotonic() - start_s)
        await asyncio.sleep(SETTLE_S)
        before = _read_statistics(name)
        await asyncio.sleep(IDLE_S)
        after = _read_statistics(name)
        address = _docker("port", name, f"{recipe.workspace.port}/tcp").split()[0]
        picture = await (
            _screenshot_page(address, recipe) if recipe.kind == "page" else _screenshot_desktop(prober, address, spec)
        )
    finally:
        baseline.remove_containers([name])
        await prober.close()
    memory = after["memory_stats"]
    cache_bytes = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    cpu_ns = after["cpu_stats"]["cpu_usage"]["total_usage"] - before["cpu_stats"]["cpu_usage"]["total_usage"]
    picture_link = f"[picture](../images/recipe-{recipe.name}.png)"
    return (
        f"| `{recipe.name}` | {recipe.friendly_name} | {recipe.kind} | {_own_layer_mb(image):.0f} MB"
        f" | {statistics.median(start_times_s):.1f} s | {(memory['usage'] - cache_bytes) / MIB:.0f} MiB"
        f" | {cpu_ns / 1e9 / IDLE_S:.3f} | {picture_link} |"
    ), picture


async def _screenshot_desktop(prober: Prober, address: str, spec: SessionSpec) -> Image.Image:
    return Image.open(io.BytesIO(await prober.screenshot(address, spec, WIDTH, HEIGHT)))


async def _screenshot_page(address: str, recipe: Recipe) -> Image.Image:
    login: Any = {"username": recipe.workspace.auth_user, "password": baseline.SPEC.credential}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            ignore_https_errors=True, http_credentials=login, viewport={"width": WIDTH, "height": HEIGHT}
        )
        page = await context.new_page()
        await page.goto(f"https://{address}/{recipe.workspace.start_page}")
        await asyncio.sleep(SETTLE_S)
        picture = await page.screenshot()
        await browser.close()
    return Image.open(io.BytesIO(picture))


def _save_picture(name: str, picture: Image.Image) -> None:
    small = picture.convert("RGB").resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    small.quantize(256).save(DOCS / f"images/recipe-{name}.png", optimize=True)


async def _run(names: list[str]) -> None:
    for recipe in shelf.all_recipes():
        if names and recipe.name not in names:
            continue
        row, picture = await _measure(recipe)
        print(row, flush=True)
        _save_picture(recipe.name, picture)
        text = PAGE.read_text()
        row_pattern = re.compile(rf"^\| `{recipe.name}` \|.*\n", re.MULTILINE)
        PAGE.write_text(row_pattern.sub(lambda _, row=row: f"{row}\n", text))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
