"""What devices ask for (`inhouse edge sync`): releases, and places for their audit logs, hand-offs, and feedback.

Only keys of the role `device` may, and these may nothing else. A device is the name of its key.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from inhouse.errors import GateError, InputError
from inhouse.gateway.auth import Caller
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.store.edges import MOST_ENTRIES, Batch, Edges

routes = APIRouter(prefix="/v1/edge")


async def device(key: Caller) -> str:
    """The name of the device.

    Raises:
        HttpError: 403 for keys of other roles.
    """
    if key.role != "device":
        raise HttpError(403, "this needs a key of the role device", "permission_error", "forbidden")
    return key.name


Device = Annotated[str, Depends(device)]


def _state(request: Request) -> State:
    state: State = request.app.state.inhouse
    return state


def _edges(request: Request) -> Edges:
    return Edges(_state(request).keys.ledger)


@routes.get("/head")
async def head(request: Request, name: Device) -> Any:
    """How far the audit log of the device is here."""
    return (await asyncio.to_thread(_edges(request).head, name)).model_dump()


@routes.post("/records")
async def records(request: Request, body: Batch, name: Device) -> Any:
    """Stores the next entries of the device's audit log; returns the new head. Sent again, it changes nothing."""
    try:
        return (await asyncio.to_thread(_edges(request).receive, name, body)).model_dump()
    except GateError as error:
        raise HttpError(409, f"{error}; {error.hint}", code="log_does_not_continue") from error
    except InputError as error:
        raise HttpError(400, f"{error}; {error.hint}") from error


class Asked(BaseModel):
    """The body of POST /v1/edge/replies."""

    ids: list[Annotated[str, Field(max_length=32)]] = Field(max_length=MOST_ENTRIES)


@routes.post("/replies")
async def replies(request: Request, body: Asked, name: Device) -> Any:
    """What became of hand-offs of the device."""
    found = await asyncio.to_thread(_edges(request).answered, name, body.ids)
    return {"object": "list", "data": [row.model_dump() for row in found]}


@routes.get("/files/{path:path}", response_class=Response)
async def files(request: Request, path: str, name: Device) -> Response:
    """A file of the release for devices (gateway.edge_folder)."""
    project = _state(request).project
    root = project.path(project.gateway.edge_folder).resolve()
    file = await asyncio.to_thread((root / path).resolve)
    inside = file.relative_to(root).parts if file.is_relative_to(root) else ()
    shipped = inside == ("edge.json",) or inside[:1] == ("models",) or inside[:2] == ("store", "artifacts")
    if not project.gateway.edge_folder or not shipped or not file.is_file():
        raise HttpError(404, "no such file of a release", code="not_found", param="path")
    return FileResponse(file)
