"""Wakes a ModelServer when one of its Pods comes, changes or goes.

These Pods are in the operator's own namespace, which need not be among those that kopf watches. A
reconcile reads them itself; all that matters here is when.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from nanodex_operator.cluster import Cluster
from nanodex_operator.kinds import PODS
from nanodex_operator.manifests.metadata import SERVER_LABEL
from nanodex_operator.refusals import ClusterError, Unavailable
from nanodex_operator.watched import Watched

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

_log = logging.getLogger(__name__)


async def watch_server_pods(
    cluster: Cluster, *, namespace: str, watched: Watched, wake: Callable[[str], None]
) -> NoReturn:
    """Watch for ever.

    Args:
        cluster: the API server.
        namespace: the operator's.
        watched: knows the ModelServers.
        wake: is told the name of one.
    """
    failures = 0
    while True:
        # One may have gone since the last watch.
        for server in watched.servers.all():
            wake(server.name)
        asked_for = 0.0
        try:
            async for pod in cluster.watch(PODS, namespace=namespace, labels=SERVER_LABEL):
                failures = 0
                if name := (pod["metadata"].get("labels") or {}).get(SERVER_LABEL):
                    wake(name)
        except ClusterError as error:
            failures += 1
            asked_for = error.retry_after if isinstance(error, Unavailable) else 0.0
            _log.warning("the Pods of ModelServers cannot be watched: %s", error)
        pause = min(_PAUSE_SECONDS * 2.0**failures, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(max(asked_for, pause))
