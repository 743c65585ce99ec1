"""What the chart gives the operator: its rights and its settings, for a process on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.controlplane.api import Api, Object
from tests.helm import Helm, objects, of_kind

_RESOURCES = {
    "ServiceAccount": "v1/serviceaccounts",
    "ClusterRole": "rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "rbac.authorization.k8s.io/v1/roles",
    "RoleBinding": "rbac.authorization.k8s.io/v1/rolebindings",
}
_TEMPLATES = ("deployment.yaml", "rbac.yaml", "serviceaccount.yaml")


@dataclass(frozen=True)
class Release:
    """A release of the chart without its Pods.

    Attributes:
        namespace: The release's.
        manifests: What Helm renders, as text.
    """

    namespace: str
    manifests: str

    @property
    def account(self) -> str:
        """Name of the operator's ServiceAccount."""
        [account] = of_kind(self.manifests, "ServiceAccount")
        name: str = account["metadata"]["name"]
        return name

    def grant(self, api: Api) -> None:
        """Make the ServiceAccount and its rights, and nothing else of the release."""
        for thing in objects(self.manifests):
            if (resource := _RESOURCES.get(thing["kind"])) is not None:
                api.apply(resource, thing, namespace=thing["metadata"].get("namespace", ""))

    def environment(self, pod: str) -> dict[str, str]:
        """Return the operator's environment in a Pod of this name; its ports are any free ones."""
        [deployment] = of_kind(self.manifests, "Deployment")
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        fields = {"metadata.name": pod, "metadata.namespace": self.namespace}
        given = {entry["name"]: _value(entry, fields) for entry in container["env"]}
        return given | {"NANODEX_METRICS_PORT": "0", "NANODEX_HEALTH_PORT": "0"}


def rendered(
    helm: Helm, *, namespace: str, watched: Sequence[str], store: str, endpoint: str
) -> Release:
    """Return the release that works on the CodeExperts of some namespaces.

    Args:
        helm: Renders it.
        namespace: The release's; its name begins those of what is cluster-wide, too.
        watched: Namespaces with CodeExperts; all when empty.
        store: `s3://bucket/prefix`.
        endpoint: Of the S3 server.
    """
    names = ", ".join(f'"{name}"' for name in watched)
    settings = {
        "fullnameOverride": f'"{namespace}"',
        "watchNamespaces": f"[{names}]",
        "artifacts.url": f'"{store}"',
        "artifacts.endpoint": f'"{endpoint}"',
    }
    manifests = helm.template(settings=settings, namespace=namespace, only=_TEMPLATES)
    return Release(namespace=namespace, manifests=manifests)


def _value(entry: Object, fields: Mapping[str, str]) -> str:
    if "value" in entry:
        return str(entry["value"])
    return fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
