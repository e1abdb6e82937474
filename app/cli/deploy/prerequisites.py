"""What must be in the cluster before anything is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from app.cli.deploy.discovery import unserved
from app.cli.deploy.phases import Overlay
from app.cli.kubectl import CommandFailedError, NotFoundError

if TYPE_CHECKING:
    from app.cli.kubectl import Kubectl


@dataclass(frozen=True)
class Prerequisite:
    """Something that others install.

    Attributes:
        name: what it is.
        kinds: pairs of `apiVersion` and kind, all of which it brings.
        remedy: what to do when it is missing; lines.
    """

    name: str
    kinds: tuple[tuple[str, str], ...]
    remedy: tuple[str, ...]


_OPENSHIFT = (
    Prerequisite(
        "OpenShift",
        (("route.openshift.io/v1", "Route"), ("operators.coreos.com/v1alpha1", "Subscription")),
        ("This is no OpenShift; for other clusters: maasctl deploy --overlay kubernetes",),
    ),
    Prerequisite(
        "the Gateway API",
        (("gateway.networking.k8s.io/v1", "Gateway"),),
        ("OpenShift 4.19 and newer have it: update the cluster",),
    ),
)
_KUBERNETES = (
    Prerequisite(
        "cert-manager",
        (("cert-manager.io/v1", "Certificate"),),
        (
            "helm install cert-manager oci://quay.io/jetstack/charts/cert-manager --version v1.21.2 \\",
            "  --namespace cert-manager --create-namespace --set crds.enabled=true --wait",
        ),
    ),
    Prerequisite(
        "Envoy Gateway",
        (
            ("gateway.networking.k8s.io/v1", "HTTPRoute"),
            *(
                ("gateway.envoyproxy.io/v1alpha1", kind)
                for kind in ("EnvoyProxy", "SecurityPolicy", "EnvoyExtensionPolicy", "EnvoyPatchPolicy")
            ),
        ),
        (
            "helm install envoy-gateway oci://docker.io/envoyproxy/gateway-helm --version v1.9.1 \\",
            "  --namespace envoy-gateway-system --create-namespace --wait \\",
            "  --set config.envoyGateway.extensionApis.enableLua=true \\",
            "  --set config.envoyGateway.extensionApis.enableEnvoyPatchPolicy=true",
        ),
    ),
    Prerequisite(
        "KServe",
        (("serving.kserve.io/v1beta1", "InferenceService"),),
        (
            "helm install kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version v0.16.0 \\",
            "  --namespace kserve --create-namespace",
            "helm install kserve oci://ghcr.io/kserve/charts/kserve --version v0.16.0 \\",
            "  --namespace kserve --wait \\",
            "  --set kserve.controller.deploymentMode=Standard \\",
            "  --set kserve.controller.gateway.disableIngressCreation=true",
        ),
    ),
)
PREREQUISITES = {Overlay.OPENSHIFT: _OPENSHIFT, Overlay.KUBERNETES: _KUBERNETES}

_EXTENSIONS = ("enableLua", "enableEnvoyPatchPolicy")


async def missing(kubectl: Kubectl, overlay: Overlay) -> list[str]:
    """What is missing, each with what to do about it; empty if nothing is.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    said = [
        "\n  ".join((f"{prerequisite.name} is not there:", *prerequisite.remedy))
        for prerequisite in PREREQUISITES[overlay]
        if await unserved(kubectl, prerequisite.kinds)
    ]
    if overlay is Overlay.KUBERNETES and (off := await _extensions_off(kubectl)):
        wanted = " and ".join(off)
        how = "helm upgrade it with the options in docs/kubernetes.md"
        said.append(f"Envoy Gateway has {wanted} off:\n  {how}")
    if not await _may_install(kubectl):
        said.append(
            "You may not create ClusterRoles here, which needs a cluster admin:\n"
            f"  {kubectl.command('auth', 'whoami')}"
        )
    return said


async def _may_install(kubectl: Kubectl) -> bool:
    try:
        await kubectl.text("auth", "can-i", "create", "clusterroles.rbac.authorization.k8s.io")
    except CommandFailedError as error:
        # `no` is printed, with nothing but a warning beside it and an exit code of 1.
        if type(error) is CommandFailedError:
            return False
        raise
    return True


async def _extensions_off(kubectl: Kubectl) -> list[str]:
    """The APIs of Envoy Gateway that are needed and off; none where it was installed in another way."""
    try:
        found = await kubectl.json(
            "get", "configmap", "envoy-gateway-config", "--namespace=envoy-gateway-system"
        )
    except NotFoundError:
        return []
    try:
        config: Any = yaml.safe_load((found.get("data") or {}).get("envoy-gateway.yaml", "")) or {}
        on = dict(config.get("extensionApis") or {})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return []
    return [name for name in _EXTENSIONS if not on.get(name)]
