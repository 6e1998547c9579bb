"""The HTTP interface of `dbnet serve`: images in, polygons and scores out, as JSON."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from dbnet.errors import ImageError
from dbnet.images import decode, shape_of
from dbnet.serving.batcher import Batcher, OverloadedError
from dbnet.version import __version__

Upload = tuple[str, bytes]  # name and content

FILE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"images": {"type": "array", "items": FILE}}}
QUAD = dict(polygons=[[10, 20, 90, 20, 90, 40, 10, 40]], scores=[0.93])
EXAMPLE = {"images": [dict(name="a.jpg", width=640, height=480, **QUAD)]}
STATUSES = {
    200: "One entry per image: name, width, height, polygons [[x1, y1, ...]] in pixels of the "
    "image as a viewer shows it, scores; or name and error.",
    400: "no image, or a broken form",
    408: "the request did not arrive in time",
    413: "too many bytes or images",
    422: "none of the images can be read",
    503: "too many images wait; try again later",
    504: "not finished in time",
}
DETECT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": FILE}, "multipart/form-data": {"schema": FORM}},
    },
    "responses": {str(code): {"description": text} for code, text in STATUSES.items()},
}
DETECT["responses"]["200"]["content"] = {"application/json": {"example": EXAMPLE}}


@dataclass(frozen=True)
class Limits:
    """What a client may ask for."""

    megabytes: float = 32  # of a request's body
    megapixels: float = 50  # of an image
    images: int = 16  # in a request
    seconds: float = 60  # for a request to arrive, and again for its answer


def create_app(batcher: Batcher, limits: Limits, card: dict[str, Any]) -> FastAPI:
    """Build the application, with which the batcher starts and ends; `GET /model` tells `card`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await run_in_threadpool(batcher.close)

    app = FastAPI(title="DBNet", version=__version__, lifespan=lifespan)

    @app.get("/health", summary="Whether the server works, and how many images wait")
    async def health() -> dict[str, Any]:
        return dict(status="ok", waiting=batcher.waiting)

    @app.get("/model", summary="The detector: config, checkpoint, settings")
    async def model() -> dict[str, Any]:
        return card

    @app.post("/detect", summary="Find the texts of one or more images", openapi_extra=DETECT)
    async def detect(request: Request) -> JSONResponse:
        uploads = await receive(request, limits)
        try:
            batcher.admit(len(uploads))
        except OverloadedError:
            raise HTTPException(
                503, "too many images wait, try again later", {"Retry-After": "1"}
            ) from None
        try:
            entries, at_fault = await asyncio.wait_for(
                answer(uploads, batcher, limits), limits.seconds
            )
        except asyncio.TimeoutError:
            raise HTTPException(504, f"not finished within {limits.seconds:g} s") from None
        finally:
            batcher.leave(len(uploads))
        if all("error" in entry for entry in entries):
            line = "; ".join(f"{entry['name']}: {entry['error']}" for entry in entries)
            raise HTTPException(500 if at_fault else 422, line)
        return JSONResponse(dict(images=entries))

    return app


async def receive(request: Request, limits: Limits) -> list[Upload]:
    """Read the images of a request: files of a form, or the body itself.

    This, and what it calls, refuses by an HTTPException what is too large, too slow, or holds none.
    """
    try:
        reading = read_body(request, int(limits.megabytes * 1e6))
        body = await asyncio.wait_for(reading, limits.seconds)
    except asyncio.TimeoutError:  # not the built-in one before Python 3.11
        raise HTTPException(408, f"the body did not arrive within {limits.seconds:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        uploads = await parse_form(request, body, limits.images)
    else:
        uploads = [("image", body)] if body else []
    if not uploads:
        raise HTTPException(400, "no image: send its bytes as the body, or files in a form")
    return uploads


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a body, at most so many bytes of it."""
    too_large = HTTPException(413, f"more than {max_bytes} bytes, the limit")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


async def parse_form(request: Request, body: bytes, max_images: int) -> list[Upload]:
    """Read the files of a multipart form, whatever their fields are called."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=max_images + 1, max_fields=100)
    parser.spool_max_size = len(body)  # in memory, as the body is
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        if "Too many files" in str(error):
            raise HTTPException(413, f"more than {max_images} images, the limit") from None
        raise HTTPException(400, f"broken form: {error}") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) > max_images:
        raise HTTPException(413, f"{len(files)} images, at most {max_images} at once")
    return [(file.filename or "image", await file.read()) for file in files]


async def answer(
    uploads: list[Upload], batcher: Batcher, limits: Limits
) -> tuple[list[dict[str, Any]], bool]:
    """Find the texts of all images that can be read.

    Returns:
        An entry for each, and whether one failed through no fault of the image.
    """
    decoded = await asyncio.gather(
        *(run_in_threadpool(decode_limited, data, limits.megapixels) for _, data in uploads),
        return_exceptions=True,
    )
    images = [image for image in decoded if isinstance(image, np.ndarray)]
    found = iter(await batcher.detect(images))
    results = [next(found) if isinstance(image, np.ndarray) else image for image in decoded]
    entries = [
        entry(name, image, result) for (name, _), image, result in zip(uploads, decoded, results)
    ]
    at_fault = any(
        isinstance(result, BaseException) and not isinstance(result, ImageError)
        for result in results
    )
    return entries, at_fault


def decode_limited(data: bytes, megapixels: float) -> np.ndarray:
    """Decode an image unless its header states too many pixels; (H, W, 3) uint8 BGR."""
    height, width = shape_of(data)
    if height * width > megapixels * 1e6:
        raise ImageError(f"{width}x{height} pixels, more than {megapixels:g} million, the limit")
    return decode(data)


def entry(name: str, image: Any, result: Any) -> dict[str, Any]:
    """Describe what was found in an image, or why nothing was."""
    if isinstance(result, ImageError):
        return dict(name=name, error=str(result))
    if isinstance(result, BaseException):  # such as lack of memory
        return dict(name=name, error=f"failed: {type(result).__name__}")
    return dict(
        name=name,
        width=image.shape[1],
        height=image.shape[0],
        polygons=[[round(float(v), 2) for v in p.ravel()] for p in result["polygons"]],
        scores=[round(float(score), 4) for score in result["scores"]],
    )
