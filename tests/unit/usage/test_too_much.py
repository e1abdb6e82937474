"""An answer has a largest size, and is none beyond it."""

from __future__ import annotations

import httpx
import pytest
import respx

from app.settings import UsageSettings
from app.usage.errors import UsageTooLargeError
from app.usage.meter import MAX_ROWS, Meter
from app.usage.prometheus import Prometheus
from app.usage.promql import Label

URL = "http://prometheus.test"


def used_by(people: int) -> dict[str, object]:
    result = [{"metric": {"user": f"user-{number}"}, "value": [60, "1"]} for number in range(people)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(("people", "accepted"), [(MAX_ROWS, True), (MAX_ROWS + 1, False)])
@respx.mock
async def test_as_many_rows_as_are_given_at_once_and_no_more(people: int, *, accepted: bool) -> None:
    respx.get(url__startswith=URL).mock(return_value=httpx.Response(200, json=used_by(people)))
    meter = Meter(Prometheus(UsageSettings(prometheus_url=URL)), cache_seconds=1, time=lambda: 60)
    try:
        if accepted:
            usage = await meter.usage(meter.window(60), by=[Label.USER])
            assert len(usage.rows()) == MAX_ROWS
        else:
            with pytest.raises(UsageTooLargeError):
                await meter.usage(meter.window(60), by=[Label.USER])
    finally:
        await meter.close()
