"""The JSON of steps."""

from __future__ import annotations

import msgspec
import pytest

from greenroom.core.actions.actions import CursorPosition, OpenAddress
from greenroom.core.actions.plan import Key, Pointer, Screenshot, Step, Type


@pytest.mark.parametrize(
    ("step", "json"),
    [
        (Pointer(1, 3, 4), b'{"step":"pointer","buttons":1,"x":3,"y":4}'),
        (Pointer(0), b'{"step":"pointer","buttons":0}'),
        (Key(0xFF0D, down=True), b'{"step":"key","keysym":65293,"down":true}'),
        (Type("é"), '{"step":"type","text":"é"}'.encode()),
        (OpenAddress("https://a.example/"), b'{"step":"open","url":"https://a.example/"}'),
        (Screenshot(region=(0, 0, 8, 8)), b'{"step":"screenshot","region":[0,0,8,8]}'),
        (CursorPosition(), b'{"step":"cursor_position"}'),
    ],
)
def test_a_step_is_json_tagged_by_its_kind(step: Step, json: bytes) -> None:
    assert msgspec.json.encode(step) == json
    assert msgspec.json.decode(json, type=Step) == step


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"step":"dance"}', type=Step)
