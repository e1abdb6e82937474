"""The shipped manifests for OpenShift, and the definitions of their kinds."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.control_plane import CRDS, GROUP_CRD, MODEL_CRDS
from tests.kustomize import MANIFESTS, rendered, with_component

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Json = dict[str, Any]

_GITHUB = CRDS / "github.com"
_CERT_MANAGER = _GITHUB / "cert-manager" / "cert-manager"
_PROMETHEUS = _GITHUB / "prometheus-operator" / "prometheus-operator"
DEFINITIONS = (
    CRDS / "sigs.k8s.io" / "gateway-api",
    CRDS / "istio.io",
    _GITHUB / "envoyproxy",
    _GITHUB / "kuadrant",
    _GITHUB / "openshift",
    _CERT_MANAGER / "cert-manager.io_certificates.yaml",
    _CERT_MANAGER / "cert-manager.io_issuers.yaml",
    _PROMETHEUS / "monitoring.coreos.com_servicemonitors.yaml",
    _PROMETHEUS / "monitoring.coreos.com_podmonitors.yaml",
    *MODEL_CRDS,
    GROUP_CRD,
)
_IDENTITY = "maas-api.maas.svc.cluster.local:8081"


def overlay(directory: Path, *, gateway_app: int) -> list[Json]:
    """The overlay with limits on tokens too, put together in `directory` as its comment says.

    The one change: the AuthPolicies ask the gateway app on this port of this machine.
    """
    documents = copy.deepcopy(list(rendered(with_component("openshift", "token-limits", directory))))
    asked = [
        metadata["http"]
        for document in documents
        if document["kind"] == "AuthPolicy"
        for metadata in document["spec"].get("rules", {}).get("metadata", {}).values()
    ]
    assert {http["url"] for http in asked} == {f"http://{_IDENTITY}/internal/identity"}
    for http in asked:
        http["url"] = http["url"].replace(_IDENTITY, f"127.0.0.1:{gateway_app}")
    return documents


def operator_variables() -> dict[str, str]:
    """What the shipped Subscription sets for Kuadrant's operator."""
    subscription = one(rendered(MANIFESTS / "operators" / "connectivity-link"), "Subscription")
    return {variable["name"]: variable["value"] for variable in subscription["spec"]["config"]["env"]}


def one(documents: Iterable[Json], kind: str) -> Json:
    """The only document of this kind."""
    (document,) = (document for document in documents if document["kind"] == kind)
    return document
