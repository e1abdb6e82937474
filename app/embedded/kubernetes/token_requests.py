"""TokenRequest: `POST …/serviceaccounts/<name>/token`, what `kubectl create token` calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes import shapes
from app.embedded.kubernetes.errors import FieldError, GroupName, bad_request, conflict, invalid
from app.embedded.kubernetes.resources import SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from app.embedded.kubernetes.cluster import Cluster
    from app.embedded.kubernetes.storage import Object

_KIND = GroupName("authentication.k8s.io", "TokenRequest")
_GROUP_VERSION = "authentication.k8s.io/v1"
DEFAULT_SECONDS = 3600
_SHORTEST, _LONGEST = 600, 1 << 32


def create(cluster: Cluster, namespace: str, name: str, body: Object) -> tuple[dict[str, Any], str]:
    """Return the answered TokenRequest, and a warning, which is empty if there is nothing to warn of.

    Tokens cannot be bound to Pods, Nodes or Secrets: none of those lives here in a way that could end them.

    Raises:
        APIError: The ServiceAccount does not exist (404) or is another one (409); the token is to be bound
            (400); the lifetime is too short or too long (422).
    """
    shapes.check_review("TokenRequest", body)
    account = cluster.objects.get(SERVICE_ACCOUNTS, namespace, name)
    given = body.get("metadata") or {}
    for field, value in (("name", name), ("namespace", namespace)):
        if given.get(field, value) != value:
            text = f"must match the service account {field} if specified"
            raise invalid(_KIND, name, [FieldError.invalid(f"metadata.{field}", given[field], text)])
    uid = account.metadata["uid"]
    if given.get("uid") and given["uid"] != uid:
        why = (
            f"the UID in the token request ({given['uid']}) does not match the UID of the service account "
            f"({uid})"
        )
        raise conflict(GroupName(_KIND.group, "TokenRequest"), name, why)
    spec = body.get("spec") or {}
    seconds, warning = _lifetime(cluster, spec.get("expirationSeconds"))
    if spec.get("boundObjectRef"):
        raise _unbindable(cluster, namespace, spec["boundObjectRef"])
    audiences = spec.get("audiences") or list(cluster.authenticator.api_audiences)
    issued_at = int(cluster.clock())
    token = cluster.signer.sign(account, audiences, issued_at, seconds)
    expires = datetime.fromtimestamp(issued_at + seconds, UTC)
    answer = {
        "kind": "TokenRequest",
        "apiVersion": _GROUP_VERSION,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": cluster.objects.now(),
        },
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
        "status": {"token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    return answer, warning


def _lifetime(cluster: Cluster, asked: int | None) -> tuple[int, str]:
    """Return how many seconds the token lives, and a warning if that is less than what was asked for."""
    seconds = DEFAULT_SECONDS if asked is None else asked
    errors = []
    if seconds < _SHORTEST:
        errors.append("may not specify a duration less than 10 minutes")
    if seconds > _LONGEST:
        errors.append("may not specify a duration larger than 2^32 seconds")
    if errors:
        raise invalid(
            _KIND, "", [FieldError.invalid("spec.expirationSeconds", seconds, text) for text in errors]
        )
    longest = cluster.max_token_seconds
    if longest is None or seconds <= longest:
        return seconds, ""
    return longest, f"requested expiration of {seconds} seconds shortened to {longest} seconds"


def _unbindable(cluster: Cluster, namespace: str, ref: Object) -> Exception:
    group, _, version = str(ref.get("apiVersion", "")).rpartition("/")
    if ref.get("kind") == SECRETS.kind and not group:
        cluster.objects.get(SECRETS, namespace, str(ref.get("name", "")))
    return bad_request(
        f"cannot bind token to object of type {group}/{version}, Kind={ref.get('kind')}: "
        "this server has no objects that tokens can be bound to"
    )
