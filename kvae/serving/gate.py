"""ASGI middleware that every request passes: it counts, measures, and turns away a client that asks too often."""

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvae.serving.batching import MAX_ROWS
from kvae.serving.limits import Rates


class Metrics:
    """What a service counts, for Prometheus.

    Args:
        waiting: says how many requests wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "kvae_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "kvae_request_seconds", "Seconds from a request to its answer.", ["path"], registry=self.registry
        )
        rows = (1, 4, 16, 64, 256, MAX_ROWS)
        self.rows = Histogram("kvae_batch_rows", "Images in a batch.", buckets=rows, registry=self.registry)
        gauge = Gauge("kvae_waiting_requests", "Requests that wait for the model.", registry=self.registry)
        gauge.set_function(waiting)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class Gate:
    """Counts and measures the requests for some paths, and limits how often a client makes them.

    Args:
        app: what it leads to.
        metrics: where they are counted.
        rates: how often a client may ask.
        paths: for which paths; a name for each other one would let strangers fill the memory.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, rates: Rates, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._rates = rates
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        client = scope.get("client")
        try:
            if self._rates.allows(client[0] if client else ""):
                await self._app(scope, receive, noting)
            else:
                text = f"more than {self._rates} from this address; try again later."
                await JSONResponse({"error": text}, 429)(scope, receive, noting)
        finally:
            self._metrics.requests.labels(scope["path"], status).inc()
            self._metrics.seconds.labels(scope["path"]).observe(time.perf_counter() - begun)
