"""Runs the calls of the examples, each with its refusals."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx2
from tests.database.api.examples.stable import Stable
from tests.database.api.examples.step import Json, Scene, Step, Wrong

from greenroom.api.examples.document import METHODS

MOST_ENTRIES: Final = 2
"""The number of recorded entries of a list."""
MOST_LINES: Final = 12


@dataclass(frozen=True)
class Operation:
    """The address of an operation."""

    method: str
    path: str
    tag: str
    names: tuple[str, ...]
    """The names of the path's parameters."""


def operations_of(document: Json) -> dict[str, Operation]:
    """All operations of a document, by their ids."""
    return {
        operation["operationId"]: Operation(
            method.upper(), path, (operation.get("tags") or ["settings"])[0], tuple(re.findall(r"\{(\w+)\}", path))
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def filled(value: Any, ids: Json) -> Any:
    """`value` with its `{name}`s replaced."""
    if isinstance(value, dict):
        return {filled(key, ids): filled(part, ids) for key, part in cast("Json", value).items()}
    if isinstance(value, list):
        return [filled(part, ids) for part in cast("list[Any]", value)]
    if isinstance(value, str) and (found := re.fullmatch(r"\{(\w+)\}", value)):
        return ids[found[1]]
    return value


@dataclass
class Play:
    """Runs steps; `examples` are their recordings, by operation."""

    scene: Scene
    operations: dict[str, Operation]
    stable: Stable = field(default_factory=Stable)
    examples: dict[str, Json] = field(default_factory=dict[str, Json])

    async def step(self, step: Step) -> None:
        """Make a call and its refused variant."""
        self.stable.of(step.operation)
        if step.before:
            await step.before(self.scene)
        operation, wrong = self.operations[step.operation], step.wrong or self._usual(step)
        refused = None if wrong.again else await self._refused(step, operation, wrong)
        if step.then:
            await step.then(self.scene)
        answer = await self._call(step, operation, Wrong())
        assert answer.is_success, f"{step.operation}: {answer.status_code} {answer.text}"
        self._save(step, answer)
        refused = refused or await self._refused(step, operation, wrong)
        parameters = {name: self.scene.ids[name] for name in operation.names} | filled(step.query, self.scene.ids)
        body = filled(step.body, self.scene.ids)
        self.stable.learn(parameters)
        self.stable.learn(body)
        example: Json = {"parameters": self.stable.value(parameters)}
        if body is not None and not isinstance(body, bytes):
            example["request"] = self.stable.value(body)
        example |= self._shown(answer)
        problem = refused.json()
        self.stable.learn(problem)
        example["problem"] = {"status": refused.status_code, "reply": self.stable.value(problem)}
        self.examples[step.operation] = example

    def _usual(self, step: Step) -> Wrong:
        """The default refused variant: an id that does not exist, or no log-in."""
        names = self.operations[step.operation].names
        unknown = {name: str(uuid.UUID(int=1)) for name in names[-1:] if name.endswith("_id") and name != "share_id"}
        return Wrong(ids=unknown) if unknown else Wrong(by="anonymous")

    def _save(self, step: Step, answer: httpx2.Response) -> None:
        for name in step.saves:
            self.scene.ids[name] = answer.json()[name]

    async def _refused(self, step: Step, operation: Operation, wrong: Wrong) -> httpx2.Response:
        answer = await self._call(step, operation, wrong)
        assert answer.is_client_error, f"{step.operation} is to be refused, but: {answer.status_code} {answer.text}"
        return answer

    async def _call(self, step: Step, operation: Operation, wrong: Wrong) -> httpx2.Response:
        ids = self.scene.ids | wrong.ids
        path = re.sub(r"\{(\w+)\}", lambda found: str(ids[found[1]]), operation.path)
        body = filled(step.body, ids)
        if wrong.body:
            body = {**body, **filled(wrong.body, ids)}
        content: Json = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        client = self.scene.clients[wrong.by or step.by]
        query = filled(step.query, ids) | wrong.query
        return await client.request(operation.method, path, params=query, headers=step.headers, **content)

    def _shown(self, answer: httpx2.Response) -> Json:
        """The recorded part of an answer: the whole JSON, the first entries of a list, the first lines of a text."""
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        shown: Json = {"status": answer.status_code}
        if not answer.content:
            return shown
        if media_type != "application/json":
            shown["media_type"] = media_type
        if media_type == "application/json":
            found = answer.json()
            self.stable.learn(found)
            shown["reply"] = self.stable.value(found[:MOST_ENTRIES] if isinstance(found, list) else found)
        elif media_type.startswith("text/"):
            shown["reply"] = self.stable.text("\n".join(answer.text.splitlines()[:MOST_LINES]) + "\n")
        return shown
