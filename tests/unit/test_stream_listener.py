"""An Agent listens beyond loopback only if it shares a secret with its gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit.config import AgentConfig, GatewayConfig

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("10.0.0.5:4445", "10.0.0.5", 4445), ("[::]:4445", "::", 4445), ("0.0.0.0:1", "0.0.0.0", 1)],
)
def test_with_a_secret_it_listens_there(tmp_path: Path, secret: Path, listen: str, host: str, port: int):
    config = AgentConfig(agent_dir=tmp_path, gateways_listen=listen, stream_secret_file=secret)
    assert config.stream_address() == (host, port, SECRET)


def test_it_listens_nowhere_unless_it_is_set(tmp_path: Path):
    assert AgentConfig(agent_dir=tmp_path).stream_address() is None


@pytest.mark.parametrize("listen", ["::1:4445", "[::]", "4445", "agent.example:4445", "10.0.0.5:", ":4445"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, secret: Path, listen: str):
    config = AgentConfig(agent_dir=tmp_path, gateways_listen=listen, stream_secret_file=secret)
    with pytest.raises(SetupError, match="is not IP:port; write an IPv6 address in brackets"):
        config.stream_address()


@pytest.mark.parametrize("content", [None, "", "short", 'quote"' * 10, "x" * 31])
def test_without_a_good_secret_it_does_not_start(tmp_path: Path, content: str | None):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    given = None if content is None else file
    config = AgentConfig(agent_dir=tmp_path, gateways_listen="0.0.0.0:4445", stream_secret_file=given)
    with pytest.raises(SetupError, match=r"GREENROOM_STREAM_SECRET_FILE|must have 32 characters or more"):
        config.stream_address()


def test_a_gateway_names_agents_by_host_and_port(tmp_path: Path):
    config = GatewayConfig(gateway_dir=tmp_path, stream_agents="agents.example:4445, [::1]:4445")
    assert config.stream_agent_addresses() == ["agents.example:4445", "[::1]:4445"]
    for wrong in ("agents.example", "::1:4445", ":4445"):
        with pytest.raises(SetupError, match="is not host:port"):
            GatewayConfig(gateway_dir=tmp_path, stream_agents=wrong).stream_agent_addresses()
