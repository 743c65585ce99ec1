"""The nodes of the cluster: one that tests leave alone, and others that they may empty."""

from tests.controlplane.api import Api, Object

HOSTNAME = "kubernetes.io/hostname"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


class Nodes:
    """All nodes, as the API server knows them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @property
    def keeper(self) -> str:
        """The node of what must not move: store, git server, and who asks."""
        nodes = self._api.find_all("v1/nodes")
        # The API server's own, where it is a node: no test stops that.
        first = min(nodes, key=lambda one: _CONTROL_PLANE not in one["metadata"]["labels"])
        return _name(first)

    @property
    def others(self) -> list[str]:
        """The nodes that may go."""
        return [
            name for one in self._api.find_all("v1/nodes") if (name := _name(one)) != self.keeper
        ]

    def hostname(self, node: str) -> str:
        """Return the label by which Pods ask for a node."""
        return str(self._api.get("v1/nodes", node)["metadata"]["labels"][HOSTNAME])

    def close(self, node: str, *, closed: bool) -> None:
        """Let no new Pods come to a node, or let them come again."""
        self._api.patch("v1/nodes", node, {"spec": {"unschedulable": closed}})

    def is_ready(self, node: str) -> bool:
        """Tell whether the control plane has lately heard from a node."""
        return is_ready(self._api.get("v1/nodes", node))


def is_ready(thing: Object) -> bool:
    """Tell whether a node or a Pod says that it is ready."""
    conditions = thing["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])
