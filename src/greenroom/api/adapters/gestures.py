"""Mouse and keyboard as the SDKs name them, as actions of `/api/v1`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from greenroom.api.adapters.asking import NotSupportedError, without_counterpart
from greenroom.api.bodies import Json

_CLICKS: Final = {("left", 1): "left_click", ("left", 2): "double_click", ("left", 3): "triple_click"}
_PHASES: Final = {"down": "left_mouse_down", "up": "left_mouse_up"}


class Gesture(BaseModel):
    """The fields of all calls about mouse and keyboard; each call has some of them."""

    model_config = ConfigDict(allow_inf_nan=False)

    x: float | None = None
    y: float | None = None
    coordinates: tuple[float, float] | None = None
    button: Literal["left", "right", "middle", "back", "forward"] = "left"
    click_type: Literal["click", "down", "up"] = "click"
    num_clicks: int = 1
    hold_keys: list[str] = []
    path: list[tuple[float, float]] = []
    delta_x: float = 0
    delta_y: float = 0
    keys: list[str] = []
    duration: float = 0
    duration_ms: float = 0
    text: str = ""

    @property
    def place(self) -> Json:
        """The field `coordinate`, or nothing."""
        if self.coordinates is not None:
            return {"coordinate": list(self.coordinates)}
        return {} if self.x is None or self.y is None else {"coordinate": [self.x, self.y]}

    @property
    def held(self) -> Json:
        """The field `text` with the keys that are held, or nothing."""
        return {"text": "+".join(self.hold_keys)} if self.hold_keys else {}

    def click(self) -> list[Json]:
        """Press, release or click a button. Raises NotSupportedError: there is no such click."""
        kind, place = self.click_type, self.place
        if kind != "click" and self.button == "left":
            return [{"action": _PHASES[kind], **place}]
        if kind == "click" and self.button in ("back", "forward") and place:
            x, y = place["coordinate"]
            return [{"type": "click", "button": self.button, "x": x, "y": y}]
        single = f"{self.button}_click" if self.num_clicks == 1 and self.button in ("right", "middle") else ""
        name = _CLICKS.get((self.button, self.num_clicks)) or single
        if kind != "click" or not name:
            asked = f"{self.num_clicks} times {kind} of the button {self.button}"
            raise without_counterpart(asked)
        return [{"action": name, **place, **self.held}]

    def move(self) -> list[Json]:
        return [{"action": "mouse_move", **self.place}]

    def drag(self) -> list[Json]:
        """Drag with the left button. Raises NotSupportedError: it is another button."""
        if self.button != "left":
            raise NotSupportedError(f"Greenroom drags with the left button, not with {self.button}.")
        keys = {"keys": self.hold_keys} if self.hold_keys else {}
        return [{"type": "drag", "path": [list(place) for place in self.path], **keys}]

    def turn(self) -> list[Json]:
        """Turn the wheel by `delta_x` and `delta_y` notches."""
        turns = (("right", "left", self.delta_x), ("down", "up", self.delta_y))
        return [
            {
                "action": "scroll",
                "scroll_direction": ahead if notches > 0 else back,
                "scroll_amount": round(abs(notches)),
                **self.place,
                **self.held,
            }
            for ahead, back, notches in turns
            if notches
        ]

    def scroll(self) -> list[Json]:
        """Scroll by `delta_x` and `delta_y` pixels."""
        x, y = self.place.get("coordinate", (0, 0))
        keys = {"keys": self.hold_keys} if self.hold_keys else {}
        return [{"type": "scroll", "x": x, "y": y, "scroll_x": self.delta_x, "scroll_y": self.delta_y, **keys}]

    def press(self, *, seconds: float) -> list[Json]:
        """Press all keys together with those that are held."""
        text = "+".join([*self.hold_keys, *self.keys])
        return [
            {"action": "hold_key", "text": text, "duration": seconds} if seconds else {"action": "key", "text": text}
        ]

    def write(self) -> list[Json]:
        return [{"action": "type", "text": self.text}]
