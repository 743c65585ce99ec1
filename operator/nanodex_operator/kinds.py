"""The kinds of objects that the operator asks for, and where the API server keeps each."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """A kind of object, as it stands in a path.

    Attributes:
        group_version: `v1` or `group/version`.
        plural: lower case, plural.
        kind: as in a manifest.
    """

    group_version: str
    plural: str
    kind: str

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection, an object or its subresource."""
        parts = ["api" if self.group_version == "v1" else "apis", self.group_version]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [part for part in (self.plural, quote(name, safe=""), subresource) if part]
        return "/" + "/".join(parts)


CODE_EXPERTS = Resource("nanodex.dev/v1alpha1", "codeexperts", "CodeExpert")
MODEL_SERVERS = Resource("nanodex.dev/v1alpha1", "modelservers", "ModelServer")
JOBS = Resource("batch/v1", "jobs", "Job")
PODS = Resource("v1", "pods", "Pod")
NAMESPACES = Resource("v1", "namespaces", "Namespace")
SERVICES = Resource("v1", "services", "Service")
EVENTS = Resource("v1", "events", "Event")
CONFIG_MAPS = Resource("v1", "configmaps", "ConfigMap")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
DISRUPTION_BUDGETS = Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
