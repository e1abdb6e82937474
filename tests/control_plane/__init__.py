"""A real etcd and kube-apiserver for tests."""

from .binaries import CRDS, GROUP_CRD, MODEL_CRDS, Binaries, find_binaries, missing_tools
from .control_plane import ControlPlane
from .errors import ControlPlaneError, MissingToolError

__all__ = [
    "CRDS",
    "GROUP_CRD",
    "MODEL_CRDS",
    "Binaries",
    "ControlPlane",
    "ControlPlaneError",
    "MissingToolError",
    "find_binaries",
    "missing_tools",
]
