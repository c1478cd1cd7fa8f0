"""The web application: routes, limits and metrics around a bundle."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from kvae import __version__
from kvae.errors import KvaeError
from kvae.runtime.bundle import Bundle
from kvae.serving import bodies
from kvae.serving.batching import Batcher, Full
from kvae.serving.gate import Gate, Metrics
from kvae.serving.limits import DEFAULTS, Limits, Rates
from kvae.serving.work import Given, Sampling, Work

PATHS = ("/v1/sample", "/v1/encode", "/v1/decode", "/v1/reconstruct", "/v1/score", "/v1/model")
"""What is measured, path by path, and counted against a client's rate."""
Pictured = Literal["png", "npy", "json"]
Numbered = Literal["json", "npz"]
LabelQuery = Annotated[str | None, Query(description="The class, by name or number, of a conditional model.")]


def create_app(bundle: Bundle, limits: Limits = DEFAULTS, allowed_hosts: list[str] | None = None) -> FastAPI:
    """The application, for any ASGI server.

    Requests that wait for the model at the same time are answered by one call of it (`kvae.serving.batching`), and what
    an image is does not depend on that. /openapi.json describes the routes; there is no page, as FastAPI's own would
    load scripts from other hosts.

    Args:
        bundle: the model.
        limits: what is granted.
        allowed_hosts: the host names that requests may give; None for any. A service on a loopback address should name
            them, so that a web page whose host name resolves to that address (DNS rebinding) learns nothing.

    Raises:
        KvaeError: the limits have no valid rate.
    """
    manifest = bundle.manifest
    metrics = Metrics(lambda: batcher.waiting)
    batcher = Batcher(Work(bundle), limits.max_waiting, metrics.rows.observe)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        batcher.close()

    app = FastAPI(
        title=f"kvae: {manifest.dataset['name']}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        max_body_size=limits.max_body,
        responses={422: {"description": "What was sent does not fit the model; `error` says why."}},
    )
    app.add_middleware(Gate, metrics=metrics, rates=Rates(limits.rate), paths=PATHS)
    if allowed_hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts)

    @app.exception_handler(KvaeError)
    async def refused(request: Request, error: KvaeError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def out_of_range(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse(
            {"error": f"{first['loc'][-1]}: {first['msg']}; got {str(first.get('input'))[:80]!r}."}, 422
        )

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(Full)
    async def busy(request: Request, error: Full) -> JSONResponse:
        return JSONResponse({"error": "too many requests are waiting; try again."}, 503, headers={"Retry-After": "1"})

    async def given(request: Request, label: str | None, read: Callable[..., Any] = bodies.images) -> Given:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        values = await run_in_threadpool(read, await request.body(), kind, manifest, limits.max_images)
        return Given(values, label)

    async def answered(kind: str, request: Given) -> tuple[Any, ...]:
        found: tuple[Any, ...] = await batcher.run(kind, len(request.values), request)
        return found

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service answers, and what with."""
        return {"status": "ok", "kvae": __version__, "device": bundle.device}

    @app.get("/metrics")
    async def counted() -> Response:
        """Counts and times for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        """What the model takes and makes."""
        return {
            "dataset": manifest.dataset["name"],
            "image_shape": manifest.image_shape,
            "latent_dim": manifest.latent_dim,
            "likelihood": manifest.likelihood,
            "labels": manifest.labels,
            "max_images": limits.max_images,
            "max_body": limits.max_body,
        }

    @app.get("/v1/sample")
    async def sample(
        n: Annotated[int, Query(ge=1, le=limits.max_images, description="Number of images.")] = 1,
        seed: Annotated[int, Query(ge=0, lt=2**64, description="Image i depends on seed and i alone.")] = 0,
        start: Annotated[int, Query(ge=0, lt=2**64, description="Number of the first image.")] = 0,
        temperature: Annotated[float, Query(ge=0, le=10, description="Factor on the prior's noise.")] = 1.0,
        label: LabelQuery = None,
        format: Pictured = "png",
    ) -> Response:
        """Images drawn from the prior, the same as those of `kvae sample` with the same seed."""
        (images,) = await batcher.run("decode", n, Sampling(n, seed, start, temperature, label))
        return await run_in_threadpool(bodies.answer_images, images, format)

    @app.post("/v1/decode")
    async def decode(request: Request, label: LabelQuery = None, format: Pictured = "png") -> Response:
        """The expected images of codes."""
        (images,) = await answered("decode", await given(request, label, bodies.codes))
        return await run_in_threadpool(bodies.answer_images, images, format)

    @app.post("/v1/reconstruct")
    async def reconstruct(request: Request, label: LabelQuery = None, format: Pictured = "png") -> Response:
        """Images, encoded to the mean of their posterior and decoded again."""
        (images,) = await answered("reconstruct", await given(request, label))
        return await run_in_threadpool(bodies.answer_images, images, format)

    @app.post("/v1/encode")
    async def encode(request: Request, label: LabelQuery = None, format: Numbered = "json") -> Response:
        """The posteriors of images, `loc` and `scale`."""
        loc, scale = await answered("encode", await given(request, label))
        return await run_in_threadpool(bodies.answer_numbers, {"loc": loc, "scale": scale}, format)

    @app.post("/v1/score")
    async def score(request: Request, label: LabelQuery = None, format: Numbered = "json") -> Response:
        """The ELBO, rate and distortion of images in nats, and the percentile of their ELBO among training images."""
        names = ("elbo", "rate", "distortion", "percentile")
        found = await answered("score", await given(request, label))
        return await run_in_threadpool(bodies.answer_numbers, dict(zip(names, found, strict=True)), format)

    return app
