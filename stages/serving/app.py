"""A model over HTTP: MLflow's protocol for programs, pictures and a page for people."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from stages.config.errors import ParameterError, StageError
from stages.contracts.translator import Translator
from stages.serving.arguments import LAST_SEED, share, whole_number
from stages.serving.drawing import DrawRequest, draw
from stages.serving.invocations import CSV, JSON, answer
from stages.serving.trained_model import TrainedModel
from stages.storage.files import one_line
from stages.storage.images import grid_png

PAGE = Path(__file__).with_name("page.html")
MOST_PICTURED, MOST_ON_PAGE = 400, 100  # images of a request, and of the page's slider
MOST_BYTES = 64 * 2**20  # of a request's body
ARGUMENTS = ("seed", "count", "truncation", "label")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def create_app(model: TrainedModel, hosts: Sequence[str] = ()) -> FastAPI:
    """`/` for people, `/digits` (PNG) and `/about` for the page, `/invocations`, `/ping` and `/health` of MLflow.

    Requests must name this machine's loopback or one of `hosts`: a foreign site's name may resolve to this machine (DNS
    rebinding).
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, *hosts])
    html = PAGE.read_bytes()
    lock = asyncio.Lock()  # one drawing at a time: each uses all threads of torch

    async def drawn(work: Callable[..., bytes], *values: Any) -> bytes:
        async with lock:  # requests that wait take no thread
            return await run_in_threadpool(work, *values)

    @app.get("/")
    async def page() -> Response:
        return Response(html, media_type="text/html; charset=utf-8")

    @app.get("/about")
    async def about() -> dict[str, Any]:
        translates = isinstance(model.generator, Translator)
        most = min(MOST_ON_PAGE, model.most_rows)
        return {"name": model.name, "labels": model.labels, "truncation": not translates, "most": most}

    @app.get("/digits")
    async def digits(request: Request) -> Response:
        return Response(await drawn(query_to_png, model, dict(request.query_params)), media_type="image/png")

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        content_type = read_content_type(request)
        body = await read_body(request)
        return Response(await drawn(answer, model, body, content_type), media_type=JSON)

    for path in ("/ping", "/health"):
        app.add_api_route(path, ping)
    for error, answered in ((StageError, refuse), (HTTPException, refuse), (ClientDisconnect, forget)):
        app.add_exception_handler(error, answered)
    return app


async def ping() -> Response:
    """Status 200, as MLflow's servers answer while they run."""
    return Response("\n", media_type=JSON)


def query_to_png(model: TrainedModel, query: dict[str, str]) -> bytes:
    """The images that a query asks for, as a PNG; raises ParameterError for what is not allowed."""
    if unknown := sorted(set(query) - set(ARGUMENTS)):
        raise ParameterError(f"unknown argument {unknown[0]!r:.40}; expected some of: {', '.join(ARGUMENTS)}")
    most = min(MOST_PICTURED, model.most_rows)
    count = whole_number("count", query.get("count", str(min(16, most))), 1, most)
    seed = whole_number("seed", query.get("seed", "0"), 0, LAST_SEED - count + 1)
    label = model.label_index(query["label"], "label") if "label" in query else None
    images = draw(model, DrawRequest(count, seed, label, share("truncation", query.get("truncation", "1"))))
    return grid_png(images, math.ceil(math.sqrt(count)))


def read_content_type(request: Request) -> str:
    """JSON or CSV; raises HTTPException 415 for others, which foreign pages may send without a preflight."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in (JSON, CSV):
        raise HTTPException(415, f"content type {content_type!r:.40} is not allowed; expected {JSON} or {CSV}")
    return content_type


async def read_body(request: Request) -> bytes:
    """The body of a request; raises HTTPException 413 where it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"the body is too large; expected at most {MOST_BYTES} bytes")
    return bytes(body)


async def forget(request: Request, error: Exception) -> Response:
    """Nothing, to a client that went away while it sent its request."""
    return Response(status_code=400)


async def refuse(request: Request, error: Exception) -> Response:
    """One line of JSON, as MLflow's servers answer: 400 for a bad request, 503 where the model cannot be drawn from."""
    if isinstance(error, HTTPException):
        status, code = error.status_code, "NOT_FOUND" if error.status_code == 404 else "BAD_REQUEST"
        message = f"{request.url.path}: {error.detail}"
    else:
        message = str(error)
        is_bad = isinstance(error, ParameterError)
        status, code = (400, "INVALID_PARAMETER_VALUE") if is_bad else (503, "TEMPORARILY_UNAVAILABLE")
    content = {"error_code": code, "message": one_line(message)}
    return Response(json.dumps(content, ensure_ascii=False), status, media_type=JSON)
