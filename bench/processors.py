"""Whether processors sleep while they have nothing to do."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEVICE = Path("/dev/cpu_dma_latency")
_ZERO_MICROSECONDS = (0).to_bytes(4, "little")


@contextmanager
def kept_awake(device: Path = _DEVICE) -> Iterator[bool]:
    """Keep processors from sleeping within this context, and say whether that can be done.

    A processor without work is halted, and a halted one takes its time to wake up: on a virtual machine its
    host has to do it. A request that goes from process to process wakes one at every step, so that a third of
    its latency can tell of the machine and its power management. So the kernel is asked to let none sleep, by
    its PM QoS interface (Linux, Documentation/power/pm_qos_interface.rst): a latency of 0 microseconds that
    holds for as long as the file is open. It takes a user who may write there, as a rule root.

    Only for seconds, and not where the slowest matter: a processor that never sleeps uses up what a host
    allows a virtual machine, and then the host holds it up, for a tenth of a second where that was seen.

    Args:
        device: where the kernel takes the wish.
    """
    try:
        # For writing, but never made where the kernel has no such thing.
        wish = device.open("r+b", buffering=0)
    except OSError:
        yield False
        return
    with wish:
        wish.write(_ZERO_MICROSECONDS)
        yield True
