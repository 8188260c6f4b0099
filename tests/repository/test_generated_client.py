"""The half of the client without asyncio is written from the half with asyncio."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "script/generate_client.py"
SOURCE = """\
@entered
async def read(answers: AsyncIterator[Answer]) -> AsyncDesk:  # async as the caller
    async with AsyncClient() as client:
        async for answer in answers:
            await asyncio.sleep(await answer.aread())
            await client.aclose("await")
"""
RESULT = """\
def read(answers: Iterator[Answer]) -> Desk:  # async as the caller
    with Client() as client:
        for answer in answers:
            time.sleep(answer.read())
            client.close("await")
"""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_client", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_loses_what_belongs_to_asyncio_and_texts_stay(generator: ModuleType):
    assert generator.without_asyncio(SOURCE) == RESULT


def test_a_file_that_is_not_current_is_named_and_written_again(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "client"
    shutil.copytree(generator.FOLDER, folder)
    (tmp_path / "pyproject.toml").write_text(f'[tool.ruff]\nextend = "{ROOT}/pyproject.toml"\n')
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(generator, "FOLDER", folder)
    with (folder / "asynchronous.py").open("a") as file:
        file.write("\n\nasync def later() -> None: ...\n")
    assert generator.main(["--check"]) == 1
    assert capsys.readouterr().out == "client/synchronous.py does not match asynchronous.py; run script/lint --fix\n"
    assert generator.main([]) == 0
    assert (folder / "synchronous.py").read_text().endswith("def later() -> None: ...\n")
    assert generator.main(["--check"]) == 0
