"""The bodies of webhooks."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import Body, Line, Name, View
from greenroom.core.outgoing import MAX_URL
from greenroom.core.webhooks import SELECTABLE_EVENTS
from greenroom.db.webhooks import Webhook

WebhookName = Annotated[Name, Field(max_length=100)]
Url = Annotated[
    Line, Field(min_length=1, max_length=MAX_URL, description="address to which messages are sent, https://…")
]
EventName = Literal[tuple(map(str, SELECTABLE_EVENTS))]  # pyright: ignore[reportInvalidTypeForm] -- computed names
Events = Annotated[list[EventName], Field(min_length=1, max_length=100, description="types of messages")]  # pyright: ignore[reportInvalidTypeForm]
Enabled = Annotated[bool, Field(description="off: events create no messages, and waiting messages are not sent")]


class WebhookCreate(Body):
    """A new webhook."""

    name: WebhookName
    url: Url
    events: Events
    enabled: Enabled = True


class WebhookPatch(Body):
    """Changes of a webhook; omitted fields keep their values."""

    name: WebhookName = ""
    url: Url = ""
    events: Events = []
    enabled: Enabled = True


class WebhookView(View, row=Webhook):
    """A webhook, without its secret."""

    webhook_id: UUID
    owner_id: Annotated[UUID | None, Field(description="user who created it; null = the installation")]
    owner: Annotated[str | None, Field(description="name of the user")]
    sends: Annotated[
        bool, Field(description="false = it is disabled, or its user may not log in or may not see webhooks")
    ]
    waiting: Annotated[int, Field(description="number of messages that wait for their first or next attempt")]


class WebhookSecret(View):
    """The secret that signs the messages of a webhook; it is returned only once."""

    secret: Annotated[str, Field(description="secret in the format of Standard Webhooks, whsec_…")]


class WebhookMade(WebhookView, WebhookSecret):
    """A new webhook with its secret."""


class Replayed(View):
    """The number of messages that are delivered again."""

    replayed: Annotated[int, Field(description="number of messages")]
