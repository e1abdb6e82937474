"""Do metrics arrive?"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.cli.verify import answers
from app.cli.verify.check import Check, Outcome, failed, passed, skipped
from app.cli.verify.replicas import forwarded

if TYPE_CHECKING:
    from app.cli.verify.session import Session

_ISSUED = "maas_tokens_issued_total"
_SECONDS = 10.0


async def _reachable(session: Session) -> Outcome:
    if not session.options.metrics_urls and await session.view.embedded():
        return skipped("no --metrics URL was given; `maasctl up` prints it")
    try:
        session.counted, replicas = await _counters(session)
    except ValueError as error:
        return failed(f"what /metrics answers cannot be read: {error}")
    if not replicas:
        return failed("no pod of the service was found")
    return passed(f"replicas that show them: {replicas}")


async def _moved(session: Session) -> Outcome:
    now, _ = await _counters(session)
    moved = now.get(_ISSUED, 0) - session.counted.get(_ISSUED, 0)
    if moved < 1:
        return failed(f"{_ISSUED} has not counted the token that was issued")
    return passed(f"{_ISSUED} went up by {moved:g}")


async def _prometheus(session: Session) -> Outcome:
    url = session.options.prometheus_url
    if not url:
        return skipped("no --prometheus URL was given")
    journey = session.journey
    # OpenShift's own wants a token of somebody who may see metrics.
    headers = {"Authorization": f"Bearer {journey.caller_token}"} if url.startswith("https://") else {}
    async with httpx.AsyncClient(verify=not session.options.insecure, timeout=_SECONDS) as client:
        response = await client.get(
            f"{url.rstrip('/')}/api/v1/query", params={"query": "count(maas_mapping_valid)"}, headers=headers
        )
    document = answers.body(response)
    if document.get("status") != "success":
        return failed(f"{url} answers {answers.line(response)}")
    result = document["data"]["result"]
    if not result:
        return failed(f"{url} has no series maas_mapping_valid")
    return passed(f"replicas whose metrics arrive: {result[0]['value'][1]}")


async def _counters(session: Session) -> tuple[dict[str, float], int]:
    """The service's counters, added up over labels and replicas, and how many replicas that are."""
    counted: dict[str, float] = {}
    urls = session.options.metrics_urls
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=_SECONDS))
        if not urls:
            pods = [pod["metadata"]["name"] for pod in await session.view.pods()]
            urls = tuple(
                [f"{await stack.enter_async_context(forwarded(session.view, pod))}/metrics" for pod in pods]
            )
        for url in urls:
            text = (await client.get(url)).raise_for_status().text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name.endswith("_total"):
                        counted[sample.name] = counted.get(sample.name, 0) + sample.value
    return counted, len(urls)


_FIX = (
    "{kubectl} port-forward -n {namespace} deployment/maas-api 8081, then curl localhost:8081/metrics; "
    "docs/metrics.md"
)

BEFORE = (
    Check(
        "metrics.reachable",
        "Does every replica show its metrics?",
        "GET /metrics of each pod, through a port-forward, or of --metrics",
        _FIX,
        _reachable,
        ("cluster.reachable",),
    ),
)

AFTER = (
    Check(
        "metrics.moved",
        "Has the service counted this very run?",
        f"GET /metrics again: {_ISSUED}",
        _FIX,
        _moved,
        ("metrics.reachable", "journey.issued"),
    ),
    Check(
        "metrics.prometheus",
        "Do the metrics arrive in Prometheus? (only with --prometheus)",
        "a query of maas_mapping_valid, with the caller token if the URL is HTTPS",
        "does a ServiceMonitor or PodMonitor select the pods, and does the NetworkPolicy maas-api let "
        "Prometheus in? docs/metrics.md",
        _prometheus,
        ("journey.tier",),
    ),
)
