"""The questions that clients ask about tokens and permissions. They are answered, not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes import shapes
from app.embedded.kubernetes.authentication import AuthenticationError
from app.embedded.kubernetes.errors import APIError, FieldError, GroupName, bad_request, invalid
from app.embedded.kubernetes.rbac import Attributes
from app.embedded.kubernetes.users import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.embedded.kubernetes.cluster import Cluster
    from app.embedded.kubernetes.storage import Object

    _Answer = Callable[[Cluster, User, str, Object], Object]

_AUTHORIZATION = "authorization.k8s.io"


def answer(cluster: Cluster, kind: str, user: User, namespace: str, body: Object) -> Object:
    """Return a review with its answer.

    Args:
        cluster: Whom the question is about.
        kind: What kind of review it is.
        user: Who asks.
        namespace: The namespace of the request, for kinds that have one.
        body: The review.

    Raises:
        APIError: The question makes no sense (400, 422).
    """
    shapes.check_review(kind, body)
    metadata = body.get("metadata") or {}
    if kind == "SelfSubjectReview":
        metadata = {"creationTimestamp": cluster.objects.now()}
    answered = _ANSWERS[kind](cluster, user, namespace, body)
    return {"kind": kind, "apiVersion": body.get("apiVersion"), "metadata": metadata, **answered}


def _token_review(cluster: Cluster, _user: User, _namespace: str, body: Object) -> Object:
    spec = body.get("spec") or {}
    token, audiences = spec.get("token"), spec.get("audiences") or []
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    try:
        found = cluster.authenticator.authenticate(token, audiences)
    except AuthenticationError as error:
        return {"spec": spec, "status": {"user": {}, "error": str(error)}}
    status = {"authenticated": True, "user": found.user.info(), "audiences": list(found.audiences)}
    return {"spec": spec, "status": status}


def _self_subject_review(_cluster: Cluster, user: User, _namespace: str, _body: Object) -> Object:
    return {"status": {"userInfo": user.info()}}


def _subject_access_review(cluster: Cluster, _user: User, _namespace: str, body: Object) -> Object:
    spec = body.get("spec") or {}
    errors = _attribute_errors(spec)
    if not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        errors.append(FieldError.invalid("spec.user", "", text))
    if errors:
        raise _senseless(errors)
    subject = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
    return _decide(cluster, subject, spec)


def _local_subject_access_review(cluster: Cluster, user: User, namespace: str, body: Object) -> Object:
    spec = body.get("spec") or {}
    if spec.get("nonResourceAttributes"):
        text = "disallowed on this kind of request"
        raise _senseless([FieldError.invalid("spec.nonResourceAttributes", "", text)])
    asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if asked != namespace:
        text = "must match metadata.namespace"
        raise _senseless([FieldError.invalid("spec.resourceAttributes.namespace", asked, text)])
    return _subject_access_review(cluster, user, namespace, body)


def _self_subject_access_review(cluster: Cluster, user: User, _namespace: str, body: Object) -> Object:
    spec = body.get("spec") or {}
    errors = _attribute_errors(spec)
    if errors:
        raise _senseless(errors)
    return _decide(cluster, user, spec)


def _self_subject_rules_review(cluster: Cluster, user: User, _namespace: str, body: Object) -> Object:
    spec = body.get("spec") or {}
    if not spec.get("namespace"):
        raise bad_request("no namespace on request")
    rules = cluster.rbac.rules(user, spec["namespace"])
    status = {
        "resourceRules": [rule for rule in rules if not rule.get("nonResourceURLs")],
        "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
    return {"spec": {}, "status": status}


_ANSWERS: dict[str, _Answer] = {
    "LocalSubjectAccessReview": _local_subject_access_review,
    "SelfSubjectAccessReview": _self_subject_access_review,
    "SelfSubjectReview": _self_subject_review,
    "SelfSubjectRulesReview": _self_subject_rules_review,
    "SubjectAccessReview": _subject_access_review,
    "TokenReview": _token_review,
}


def _decide(cluster: Cluster, subject: User, spec: Object) -> Object:
    allowed, reason = cluster.rbac.allows(subject, _attributes(spec))
    status: dict[str, Any] = {"allowed": allowed}
    if reason:
        status["reason"] = reason
    return {"spec": spec, "status": status}


def _attributes(spec: Object) -> Attributes:
    asked = spec.get("resourceAttributes")
    if asked is None:
        asked = spec["nonResourceAttributes"]
        return Attributes(asked.get("verb", ""), path=asked.get("path") or "/")
    fields = ("group", "version", "resource", "subresource", "namespace", "name")
    return Attributes(asked.get("verb", ""), **{field: asked.get(field) or "" for field in fields})


def _attribute_errors(spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [FieldError("spec.resourceAttributes", "FieldValueInvalid", f"Invalid value: null: {text}")]
    if resource is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        shown = f'{{"Path":"{path.get("path", "")}","Verb":"{path.get("verb", "")}"}}'
        return [
            FieldError("spec.nonResourceAttributes", "FieldValueInvalid", f"Invalid value: {shown}: {text}")
        ]
    return []


def _senseless(errors: list[FieldError]) -> APIError:
    # The real server leaves the kind out, and so begins with the dot.
    return invalid(GroupName(_AUTHORIZATION, ""), "", errors)
