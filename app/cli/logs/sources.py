"""Where the parts of the platform run, in either profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODELS = "model"
_KSERVE = "control-plane in (kserve-controller-manager, llmisvc-controller-manager, odh-model-controller)"


@dataclass(frozen=True, slots=True)
class Source:
    """Pods of a part.

    Attributes:
        component: what they are.
        namespace: where they run, if they do.
        selector: their labels; empty for all pods there.
    """

    component: str
    namespace: str
    selector: str = ""


def sources(namespace: str, gateway: str) -> tuple[Source, ...]:
    """Every place to look at, for a platform in `namespace` with a Gateway of that name."""
    istio_gateway = f"gateway.networking.k8s.io/gateway-name={gateway}"
    return (
        Source("maas-api", namespace, "app.kubernetes.io/name=maas-api"),
        Source("gateway", namespace, istio_gateway),
        Source("gateway", "envoy-gateway-system"),
        Source("gateway", "openshift-ingress", istio_gateway),
        Source("istiod", "openshift-ingress", "app=istiod"),
        Source("istiod", "istio-system", "app=istiod"),
        Source("kuadrant", "kuadrant-system"),
        Source("kserve", "kserve"),
        Source("kserve", "redhat-ods-applications", _KSERVE),
        Source("kserve", "opendatahub", _KSERVE),
    )


def model_sources(namespaces: Iterable[str]) -> tuple[Source, ...]:
    """The pods of models: of InferenceServices, and of LLMInferenceServices."""
    selectors = ("serving.kserve.io/inferenceservice", "app.kubernetes.io/part-of=llminferenceservice")
    return tuple(Source(MODELS, name, selector) for name in sorted(namespaces) for selector in selectors)


KINDS = (
    "authconfigs.authorino.kuadrant.io",
    "authorinos.operator.authorino.kuadrant.io",
    "authpolicies.kuadrant.io",
    "backendtrafficpolicies.gateway.envoyproxy.io",
    "certificates.cert-manager.io",
    "clienttrafficpolicies.gateway.envoyproxy.io",
    "deployments.apps",
    "endpointslices.discovery.k8s.io",
    "envoyextensionpolicies.gateway.envoyproxy.io",
    "envoyfilters.networking.istio.io",
    "envoypatchpolicies.gateway.envoyproxy.io",
    "envoyproxies.gateway.envoyproxy.io",
    "gateways.gateway.networking.k8s.io",
    "horizontalpodautoscalers.autoscaling",
    "httproutes.gateway.networking.k8s.io",
    "inferenceservices.serving.kserve.io",
    "kuadrants.kuadrant.io",
    "limitadors.limitador.kuadrant.io",
    "llminferenceservices.serving.kserve.io",
    "networkpolicies.networking.k8s.io",
    "pods",
    "ratelimitpolicies.kuadrant.io",
    "replicasets.apps",
    "routes.route.openshift.io",
    "securitypolicies.gateway.envoyproxy.io",
    "services",
    "telemetrypolicies.extensions.kuadrant.io",
    "tokenratelimitpolicies.kuadrant.io",
    "wasmplugins.extensions.istio.io",
)
"""Objects that are collected with their status, of every namespace with a part in it. Never Secrets."""

CLUSTER_KINDS = (
    "clusterserviceversions.operators.coreos.com",
    "gatewayclasses.gateway.networking.k8s.io",
)
"""The same, of the whole cluster; ClusterServiceVersions tell the versions of operators."""
