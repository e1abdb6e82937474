"""Metrics under the names that vLLM gives them, so that its dashboards work on the simulator."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.embedded.simulator.generation import Generation

_MOST_MODELS = 100
_OTHERS = "other"
_TOKEN_SECONDS = (0.001, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120)


class Series:
    """The metrics themselves, in a registry of their own. Each has the label `model_name`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.running = self._gauge("num_requests_running", "Requests that are being answered.")
        self.waiting = self._gauge("num_requests_waiting", "Requests that wait for their turn.")
        self.prompt = self._counter("prompt_tokens", "Tokens read.")
        self.generated = self._counter("generation_tokens", "Tokens written.")
        self.finished = self._counter("request_success", "Requests answered.", "finished_reason")
        self.first = self._histogram("time_to_first_token", "To the first token.", _FIRST_TOKEN_SECONDS)
        # vLLM renamed the first of these to the second; dashboards use either.
        self.between = [
            self._histogram("time_per_output_token", "From token to token.", _TOKEN_SECONDS),
            self._histogram("inter_token_latency", "From token to token.", _TOKEN_SECONDS),
        ]
        self.whole = self._histogram("e2e_request_latency", "Of the whole request.", _REQUEST_SECONDS)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"vllm:{name}", what, ["model_name"], registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"vllm:{name}", what, ["model_name", *labels], registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"vllm:{name}_seconds",
            f"Seconds. {what}",
            ["model_name"],
            registry=self.registry,
            buckets=buckets,
        )


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
        self._series.waiting.labels(label).set(0)  # Nobody ever waits; dashboards want to see it.
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
        self._last: float | None = None

    def token(self) -> None:
        """Note that one more token has been written."""
        now = self._monotonic()
        if self._last is None:
            self._series.first.labels(self._model).observe(now - self._began)
        else:
            for histogram in self._series.between:
                histogram.labels(self._model).observe(now - self._last)
        self._last = now
        self._series.generated.labels(self._model).inc()

    def finished(self, generation: Generation) -> None:
        """Note that the request is answered."""
        self._series.prompt.labels(self._model).inc(generation.prompt_tokens)
        self._series.whole.labels(self._model).observe(self._monotonic() - self._began)
        for choice in generation.choices:
            self._series.finished.labels(self._model, choice.finish_reason).inc()
