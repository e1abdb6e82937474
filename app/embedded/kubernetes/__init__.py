"""A Kubernetes API server for one machine: the real API, kept in memory, without a cluster behind it."""

from app.embedded.kubernetes.app import create_app
from app.embedded.kubernetes.cluster import Cluster
from app.embedded.kubernetes.faults import Faults
from app.embedded.kubernetes.users import User

__all__ = ["Cluster", "Faults", "User", "create_app"]
