from __future__ import annotations


class ControlPlaneError(Exception):
    """The control plane cannot be run or does not do what it was asked to; the message says why."""


class MissingToolError(ControlPlaneError):
    """A program that the control plane is made of is not on this machine."""
