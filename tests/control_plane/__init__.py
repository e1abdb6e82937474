"""A real etcd and kube-apiserver for tests."""

from tests.control_plane.binaries import (
    CRDS,
    GROUP_CRD,
    LIMIT_CRDS,
    MODEL_CRDS,
    Binaries,
    find_binaries,
    missing_tools,
)
from tests.control_plane.control_plane import ControlPlane
from tests.control_plane.errors import ControlPlaneError, MissingToolError

__all__ = [
    "CRDS",
    "GROUP_CRD",
    "LIMIT_CRDS",
    "MODEL_CRDS",
    "Binaries",
    "ControlPlane",
    "ControlPlaneError",
    "MissingToolError",
    "find_binaries",
    "missing_tools",
]
