"""What can be measured, by name, in the order in which it is."""

from __future__ import annotations

from bench.measures import authorize, issue, litellm, metering, scale, stream

MEASURES = {
    measure.name: measure
    for measure in (
        issue.MEASURE,
        authorize.MEASURE,
        stream.MEASURE,
        metering.MEASURE,
        scale.MEASURE,
        litellm.MEASURE,
    )
}
