"""Whether processors sleep while they have nothing to do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.run import CannotMeasureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figures import Must

_DEVICE = Path("/dev/cpu_dma_latency")
_ZERO_MICROSECONDS = (0).to_bytes(4, "little")


@dataclass(frozen=True)
class Way:
    """One of the ways in which something is measured.

    Attributes:
        awake: whether processors are kept awake; if not, they do as the machine has them do.
        held: whether what is measured so is held to its limit.
        device: where the kernel takes the wish.
    """

    awake: bool
    held: bool
    device: Path = _DEVICE

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Whatever is within this context is measured this way.

        Raises:
            CannotMeasureError: the kernel takes the wish no more.
        """
        if not self.awake:
            yield
            return
        with kept_awake(self.device) as could:
            if not could:
                raise CannotMeasureError("processors can be kept awake no more")
            yield

    def name(self, figure: str) -> str:
        """What a figure is called that is measured so."""
        return f"{figure}, processors kept awake" if self.awake else figure

    def must(self, must: Must) -> Must | None:
        """What such a figure must reach, if anything."""
        return must if self.held else None


def ways(device: Path = _DEVICE) -> list[Way]:
    """With processors that may sleep, and with processors kept awake where that can be done.

    What waking up takes is the machine's, and comes once more for every process on the way, so the second is
    held to limits, and the first where there is no second.

    Args:
        device: where the kernel takes the wish.
    """
    with kept_awake(device) as could:
        pass
    asleep = Way(awake=False, held=not could, device=device)
    return [asleep, Way(awake=True, held=True, device=device)] if could else [asleep]


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
