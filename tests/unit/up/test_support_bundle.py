"""The support archive contains no secret, and is created although a part cannot be read."""

from __future__ import annotations

import base64
import json
import random
import string
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from greenroom.core.errors import SetupError
from greenroom.up import support_bundle
from greenroom.up.layout import Layout
from greenroom.up.masked_text import TextMask
from greenroom.up.support_bundle import create_archive, new_archive, read_end

NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
LETTERS: Final = string.ascii_letters + string.digits


def characters(random: random.Random, alphabet: str, count: int) -> str:
    return "".join(random.choice(alphabet) for _ in range(count))


def pem(text: str) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----"


STYLES: Final[tuple[Callable[[random.Random], str], ...]] = (
    lambda r: characters(r, LETTERS + "-_", 43),
    lambda r: characters(r, string.hexdigits.lower(), 64),
    lambda r: base64.b64encode(r.randbytes(32)).decode(),
    lambda r: characters(r, string.ascii_lowercase, 9),
    lambda r: characters(r, LETTERS, 4) + "!$%&@*+,;=^~|/" + characters(r, LETTERS, 4),
)
"""Tokens, keys, and passwords of people."""

LINES: Final[tuple[Callable[[str], str], ...]] = (
    lambda s: json.dumps({"event": "log-in", "password": s}),
    lambda s: json.dumps({"event": "request", "headers": {"Authorization": f"Bearer {s}", "Accept": "*/*"}}),
    lambda s: json.dumps({"event": "start", "spec": {"environment": {"HARMLESS": s}}}),
    lambda s: json.dumps({"event": "start", "Env": [f"HARMLESS={s}"]}),
    lambda s: json.dumps({"event": "start", "variables": [{"name": "API_TOKEN", "value": s}]}),
    lambda s: json.dumps({"event": f"connection to postgresql://greenroom:{s}@db.example/greenroom failed"}),
    lambda s: json.dumps({"event": f"answer: {json.dumps({'clientSecret': s})}"}),
    lambda s: json.dumps({"event": pem(s)}),
    lambda s: f"connection failed: host=db user=greenroom password={s} dbname=greenroom",
    lambda s: f"connection failed: host=db password='{s}' dbname=greenroom",
    lambda s: f"GET /session?session_token={s} 200",
    lambda s: f"Cookie: username=ann; session_token={s}",
    lambda s: f"authorization: Basic {s}",
    lambda s: f"started ['greenroom', '--secret', '{s}']",
    lambda s: f"greenroom users list --key-secret {s}",
    lambda s: f"The new password is {s}",
    lambda s: f"pull from https://robot:{s}@registry.example/v2/",
    lambda s: f"{{'username': 'ann', 'password': '{s}'}}",
    lambda s: f"export REGISTRY_TOKEN={s}",
    lambda s: f"api_key: {s}",
)
"""Secret → a line of a log that contains it."""


def planted(layout: Layout) -> tuple[list[str], dict[str, str]]:
    """Plant 500 secrets in DATA and in the environment. Return them, and the environment."""
    source, secrets = random.Random(34), list[str]()  # noqa: S311 -- the test must be repeatable

    def secret(style: int) -> str:
        secrets.append(STYLES[style % len(STYLES)](source))
        return secrets[-1]

    for folder in (layout.logs, layout.keys, layout.gateway):
        folder.mkdir(parents=True)
    lines = [line(secret(number)) for number in range(4 * len(STYLES)) for line in LINES]
    layout.log("api").write_text("\n".join(lines))
    key, credential, admin = secret(2), secret(0), secret(0)
    layout.key_file.write_text(key)
    layout.gateway_credential.write_text(credential)
    layout.credentials.write_text(json.dumps({"api_key_secret": secret(0), "admin": {"password": admin}}))
    layout.instance.write_text(json.dumps({"database_url": f"postgresql://owner:{secret(4)}@db/greenroom"}))
    layout.ports.write_text("{}")
    environment = {f"VARIABLE_{number}": secret(number) for number in range(46)}
    environment |= {f"GREENROOM_UNKNOWN_{number}": secret(number) for number in range(20)}
    environment |= {"GREENROOM_SECRET": secret(1), "GREENROOM_DATABASE_URL": f"host=db password={secret(3)}"}
    config = layout.data / "greenroom.toml"
    config.write_text("\n".join(f'password_{number} = "{secret(number)}"' for number in range(24)))
    environment["GREENROOM_CONFIG"] = str(config)
    layout.log("gateway").write_text("\n".join(f"echo of {known} without a name" for known in (key, credential, admin)))
    output = [f"HTTP Proxy: http://proxy:{secret(4)}@proxy.example:3128", f"Token: {secret(0)}"]
    layout.log("output").write_text("\n".join(output))
    secrets.append(characters(source, LETTERS, 40))
    layout.log("bare").write_text(f"a random text {secrets[-1]} without a name")
    return secrets, environment


def contents(file: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(file) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            assert opened is not None
            yield member.name.removeprefix("greenroom-support/"), opened.read().decode()


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An instance that does not run. Programs are not installed, except `docker`, which writes the log `output`."""
    layout = Layout(tmp_path / "data")

    def output(name: str, *_: str, within_s: float) -> str:
        del within_s
        if name != "docker":
            raise SetupError(f"{name} is not installed.")
        return layout.log("output").read_text()

    def no_database(*_: object) -> Any:
        raise SetupError("The database does not answer.")

    monkeypatch.setattr(support_bundle, "command_output", output)
    monkeypatch.setattr(support_bundle, "read_database", no_database)
    return layout


def test_none_of_500_planted_secrets_is_in_the_archive(layout: Layout, tmp_path: Path):
    secrets, environment = planted(layout)
    assert len(secrets) >= 500
    file = tmp_path / "archive.tar.gz"
    create_archive(layout, file, environment, NOW)
    texts = dict(contents(file))
    found = [
        (name, secret)
        for name, text in texts.items()
        for secret in secrets
        if secret in text or json.dumps(secret)[1:-1] in text
    ]
    assert found == []
    assert "connection to postgresql://(secret)@db.example/greenroom failed" in texts["logs/api.log"]
    assert "HTTP Proxy: http://(secret)@proxy.example:3128" in texts["docker/info.json"]


def test_without_the_mask_the_archive_would_have_the_secrets(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(TextMask, "mask_text", lambda _, text: text)
    secrets, environment = planted(layout)
    file = tmp_path / "archive.tar.gz"
    create_archive(layout, file, environment, NOW)
    assert sum(secret in text for _, text in contents(file) for secret in secrets) > 200


def test_what_cannot_be_read_is_named_with_the_reason(layout: Layout, tmp_path: Path):
    _, environment = planted(layout)
    layout.instance.unlink()
    file = tmp_path / "archive.tar.gz"
    archive = create_archive(layout, file, environment, NOW)
    missing = json.loads(dict(contents(file))["missing.json"])
    assert missing == archive.missing
    assert missing["host/firewall.txt"] == "iptables is not installed."
    assert missing["database/"] == "The database does not answer."
    assert "No such file" in missing["settings/instance.json"]
    assert {"README.txt", "host/host.json", "logs/api.log", "docker/info.json"} <= set(archive.files)


def test_only_its_owner_can_read_the_archive(layout: Layout, tmp_path: Path):
    file = tmp_path / "archive.tar.gz"
    create_archive(layout, file, {}, NOW)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SetupError, match="exists already; specify another --output"):
        create_archive(layout, file, {}, NOW)


def test_an_archive_that_could_not_be_written_is_removed(tmp_path: Path):
    file = tmp_path / "archive.tar.gz"
    with pytest.raises(SetupError, match="could not be written"), new_archive(file, TextMask()):
        raise OSError(28, "No space left on device")
    assert not file.exists()


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path):
    file = tmp_path / "long.log"
    file.write_text("password=first\nsecond\nthird\n")
    assert read_end(file, 20) == "second\nthird\n"
    assert read_end(file, 1000).startswith("password=first")
    assert "MemTotal:" in read_end(Path("/proc/meminfo"))
