"""A model server that needs no model: it answers like vLLM, at once and always the same."""

from __future__ import annotations

from app.embedded.simulator.app import Clock, SimulatorSettings, create_simulator

__all__ = ["Clock", "SimulatorSettings", "create_simulator"]
