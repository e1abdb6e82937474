"""What one run reads of the cluster, each thing once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.gateway.address import GATEWAYS, OPENSHIFT_ROUTES, gateway_url
from app.cli.kubectl import NotFoundError, UnknownKindError, items
from app.settings import HttpSettings, LimitSettings, TierSettings, TokenSettings

if TYPE_CHECKING:
    from app.cli.kubectl import Kubectl

DEPLOYMENTS = "deployments.apps"
GATEWAY_CLASSES = "gatewayclasses.gateway.networking.k8s.io"
HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"
MODEL_KINDS = ("inferenceservices.serving.kserve.io", "llminferenceservices.serving.kserve.io")

SERVICE = "maas-api"
_SELECTOR = f"app.kubernetes.io/name={SERVICE}"
# What the embedded cluster says of itself (app.embedded.kubernetes.discovery).
_EMBEDDED = "+privatemaas"


class View:
    """Reads through `oc` or `kubectl` and remembers the answers.

    Every method may raise a KubectlError.

    Attributes:
        kubectl: reads.
        namespace: the platform's.
        gateway: the name of its Gateway.
    """

    def __init__(self, kubectl: Kubectl, *, namespace: str, gateway: str) -> None:
        self.kubectl = kubectl
        self.namespace = namespace
        self.gateway = gateway
        self._read: dict[tuple[str, ...], Any] = {}

    async def version(self) -> str:
        """The API server's version."""
        document = await self._json("version")
        return str(document.get("serverVersion", {}).get("gitVersion", ""))

    async def embedded(self) -> bool:
        """Whether this is the double that `maasctl up` runs, which has neither pods nor a gateway in it."""
        return (await self.version()).endswith(_EMBEDDED)

    async def all(self, kind: str, *, selector: str = "", everywhere: bool = False) -> list[dict[str, Any]]:
        """The objects of a kind, of the platform's namespace or of all; none where the kind is unknown."""
        where = "--all-namespaces" if everywhere else f"--namespace={self.namespace}"
        try:
            return items(
                await self._json("get", kind, where, *([f"--selector={selector}"] if selector else ()))
            )
        except UnknownKindError:
            return []

    async def one(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object of the platform's namespace, or of none; None if it is not there."""
        try:
            found: dict[str, Any] = await self._json("get", kind, name, f"--namespace={self.namespace}")
        except (NotFoundError, UnknownKindError):
            return None
        return found

    async def pods(self) -> list[dict[str, Any]]:
        """The pods of the service that are not on their way out."""
        found = await self.all("pods", selector=_SELECTOR)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def routes(self) -> list[dict[str, Any]]:
        """The HTTPRoutes, of whatever namespace, that ask for the platform's Gateway."""
        return [
            route
            for route in await self.all(HTTP_ROUTES, everywhere=True)
            if any(self.is_parent(route, parent) for parent in route["spec"].get("parentRefs", ()))
        ]

    def is_parent(self, route: dict[str, Any], reference: dict[str, Any]) -> bool:
        """Whether a route's reference means the platform's Gateway."""
        namespace = reference.get("namespace", route["metadata"]["namespace"])
        kind = reference.get("kind", "Gateway")
        return (kind, namespace, reference.get("name")) == ("Gateway", self.namespace, self.gateway)

    async def gateway_url(self) -> str:
        """Where the cluster says that the gateway is; empty if it does not."""
        routes = await self.all(OPENSHIFT_ROUTES)
        return gateway_url(self.gateway, routes, await self.one(GATEWAYS, self.gateway))

    async def models(self) -> list[dict[str, Any]]:
        """The models there are, in every namespace."""
        return [model for kind in MODEL_KINDS for model in await self.all(kind, everywhere=True)]

    async def audience(self) -> str:
        """The audience of the tokens that the service issues."""
        default: str = TokenSettings().audience
        return (await self._environment()).get("MAAS_TOKENS_AUDIENCE", default)

    async def config_map(self) -> str:
        """The name of the ConfigMap with the tier mapping."""
        default: str = TierSettings().config_map
        return (await self._environment()).get("MAAS_TIERS_CONFIG_MAP", default)

    async def limits_mode(self) -> str:
        """Whether the service makes the policies follow the mapping."""
        return (await self._environment()).get("MAAS_LIMITS_MODE", LimitSettings().mode)

    async def _environment(self) -> dict[str, str]:
        deployment = await self.one(DEPLOYMENTS, SERVICE)
        containers = deployment["spec"]["template"]["spec"]["containers"] if deployment else []
        return {
            variable["name"]: variable["value"]
            for container in containers
            for variable in container.get("env", ())
            if "value" in variable
        }

    async def _json(self, *arguments: str) -> Any:
        if arguments not in self._read:
            self._read[arguments] = await self.kubectl.json(*arguments)
        return self._read[arguments]


def gateway_port() -> int:
    """The port of the gateway app in a pod."""
    return HttpSettings().gateway_port
