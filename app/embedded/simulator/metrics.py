"""Metrics under the names that vLLM gives them, so that its dashboards work on the simulator."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_MOST_MODELS = 100
_OTHERS = "other"
_TOKEN_SECONDS = (0.001, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_TOKENS_OF_A_REQUEST = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120)


class Series:
    """The metrics themselves, in a registry of their own. Each has the label `model_name`.

    Nobody ever waits here, and there is no cache to fill: what is about those is always 0.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.running = self._gauge("num_requests_running", "Requests that are being answered.")
        self.waiting = self._gauge("num_requests_waiting", "Requests that wait for their turn.")
        self.cache = self._gauge("kv_cache_usage_perc", "Share of the KV cache that is used, 1 is all.")
        self.preempted = self._counter("num_preemptions", "Requests that were interrupted for others.")
        self.prompt = self._counter("prompt_tokens", "Tokens read.")
        self.generated = self._counter("generation_tokens", "Tokens written.")
        self.finished = self._counter("request_success", "Requests answered.", "finished_reason")
        self.first = self._seconds("time_to_first_token", "To the first token.", _FIRST_TOKEN_SECONDS)
        # vLLM renamed the first of these to the second; dashboards use either.
        self.between = [
            self._seconds("time_per_output_token", "From token to token.", _TOKEN_SECONDS),
            self._seconds("inter_token_latency", "From token to token.", _TOKEN_SECONDS),
        ]
        self.whole = self._seconds("e2e_request_latency", "Of the whole request.", _REQUEST_SECONDS)
        self.queue = self._seconds("request_queue_time", "Until its turn came.", _REQUEST_SECONDS)
        self.prefill = self._seconds(
            "request_prefill_time", "From there to the first token.", _REQUEST_SECONDS
        )
        self.decode = self._seconds("request_decode_time", "From there to the last one.", _REQUEST_SECONDS)
        self.read = self._histogram(
            "request_prompt_tokens", "Tokens read of a request.", _TOKENS_OF_A_REQUEST
        )
        self.written = self._histogram(
            "request_generation_tokens", "Tokens written for a request.", _TOKENS_OF_A_REQUEST
        )

    def idle(self, model: str) -> None:
        """Show of this model what stays at 0, as vLLM does from its start."""
        self.waiting.labels(model).set(0)
        self.cache.labels(model).set(0)
        self.preempted.labels(model)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"vllm:{name}", what, ["model_name"], registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"vllm:{name}", what, ["model_name", *labels], registry=self.registry)

    def _seconds(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return self._histogram(f"{name}_seconds", f"Seconds. {what}", buckets)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", what, ["model_name"], registry=self.registry, buckets=buckets)


class Metrics:
    """Measures the requests of one simulator.

    Args:
        monotonic: Seconds that only ever grow.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._series = Series()
        self._monotonic = monotonic
        self._models: set[str] = set()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._series.registry)

    @contextmanager
    def request(self, model: str) -> Iterator[RequestMeter]:
        """Measure one request; one that ends without `finished` was given up by its client."""
        label = self._label(model)
        self._series.idle(label)
        with self._series.running.labels(label).track_inprogress():
            yield RequestMeter(self._series, label, self._monotonic)

    def _label(self, model: str) -> str:
        """Return the model's label. Names come from clients, so there must be an end to them."""
        if model not in self._models and len(self._models) >= _MOST_MODELS:
            return _OTHERS
        self._models.add(model)
        return model


class RequestMeter:
    """Measures one request, from now on.

    Args:
        series: Where the measurements go.
        model: The label of its model.
        monotonic: Seconds that only ever grow.
    """

    def __init__(self, series: Series, model: str, monotonic: Callable[[], float]) -> None:
        self._series = series
        self._model = model
        self._monotonic = monotonic
        self._began = monotonic()
        self._first: float | None = None
        self._last = self._began

    def token(self) -> None:
        """Note that one more token has been written."""
        now = self._monotonic()
        if self._first is None:
            self._first = now
            self._series.first.labels(self._model).observe(now - self._began)
        else:
            for histogram in self._series.between:
                histogram.labels(self._model).observe(now - self._last)
        self._last = now
        self._series.generated.labels(self._model).inc()

    def finished(self, *, read: int, written: int, reasons: Sequence[str]) -> None:
        """Note that the request is answered.

        Args:
            read: Tokens of the prompt.
            written: Tokens of all answers; an embedding has none.
            reasons: Why each answer ended.
        """
        model, series = self._model, self._series
        series.prompt.labels(model).inc(read)
        series.read.labels(model).observe(read)
        series.queue.labels(model).observe(0)
        series.whole.labels(model).observe(self._monotonic() - self._began)
        if self._first is not None:
            series.written.labels(model).observe(written)
            series.prefill.labels(model).observe(self._first - self._began)
            series.decode.labels(model).observe(self._last - self._first)
        for reason in reasons:
            series.finished.labels(model, reason).inc()
