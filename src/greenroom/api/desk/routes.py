"""What a program does on the desktop that it has leased, and what it sees there."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from greenroom.api.bodies import Shaped
from greenroom.api.deps import DesksDep
from greenroom.api.desk import service
from greenroom.api.desk.schemas import ActionsCreate, ActionsDone
from greenroom.api.desk.transport import while_asked
from greenroom.api.lease.access import Held, holds_lease
from greenroom.api.recording.noting import NotingDep
from greenroom.core.actions.plan import Size
from greenroom.core.session.authorization import Act

router = APIRouter(tags=["leases"])

Corners = Annotated[str, Shaped(r"[0-9]{1,5}(,[0-9]{1,5}){3}", "four whole numbers, such as 0,0,640,400")]
Side = Annotated[int | None, Query(ge=16, le=8192, description="pixels; with one of both the picture keeps its shape")]


@router.post("/leases/{lease_id}/actions", response_model=ActionsDone)
async def act(
    body: ActionsCreate,
    request: Request,
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.INPUT)],
) -> Response:
    """Do these actions on the desktop, in their order until one fails; `results` has one entry for each.

    Where one can never be done, outside the screen or unknown, none is. A client that goes away ends the rest, and what
    it pressed is let go of.
    """
    display = Size(body.display.width, body.display.height) if body.display else None
    work = service.act(desks, held.lease, body.actions, screenshot=body.screenshot, display=display)
    acted = await noting.actions(held.lease, body, while_asked(request, work))
    # not through the model: a picture would be copied some times
    return Response(msgspec.json.encode(acted), media_type="application/json")


@router.get(
    "/leases/{lease_id}/screenshot",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "the screen as a PNG"}},
)
async def get_desk_screenshot(
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.SCREENSHOT)],
    region: Annotated[Corners | None, Query(description="x1,y1,x2,y2; the second corner is outside")] = None,
    width: Side = None,
    height: Side = None,
    cursor: Annotated[bool, Query(description="with the pointer")] = True,
) -> Response:
    """The screen of the leased session, or a part of it, as a PNG."""
    corners = tuple(int(part) for part in region.split(",")) if region else None
    where = (corners[0], corners[1], corners[2], corners[3]) if corners else None
    work = service.screenshot(desks, held.lease, region=where, width=width, height=height, cursor=cursor)
    return Response(await noting.screenshot(held.lease, work), media_type="image/png")
