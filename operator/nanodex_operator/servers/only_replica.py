"""Whether a server's one replica stays the address of its Service while its engine starts.

Kubernetes takes a Pod out of a Service as soon as one of its containers is not ready. With another
replica that is right; without one, clients are refused until the engine is back, although the agent
beside it could let them wait. Only where nobody else can answer, and nobody else is about to come,
the Pod stays: a Pod that comes has an address long before anybody listens there.
"""

from nanodex_operator.manifests.engine_pod import pod_template_hash
from nanodex_operator.servers.snapshot import ServerSnapshot


def is_only_replica(snapshot: ServerSnapshot) -> bool:
    """Tell whether one Pod is all there is and all there is to be."""
    deployment = snapshot.deployment
    wanted = pod_template_hash(snapshot.server, settings=snapshot.settings)
    return (
        snapshot.server.spec.replicas == 1
        and snapshot.one_pod
        and deployment is not None
        # Another template is another Pod, as soon as it is applied; and the one that there is may
        # be of the template before.
        and deployment.template_hash == wanted
        and deployment.is_current
        and deployment.updated_replicas == 1
    )
