"""Wakes a ModelServer when one of its Pods comes, changes or goes.

These Pods are in the operator's own namespace, which need not be among those that kopf watches. A
reconcile reads them itself; all that matters here is when.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from nanodex_operator.cluster import Cluster, Pause
from nanodex_operator.kinds import PODS
from nanodex_operator.manifests.metadata import SERVER_LABEL
from nanodex_operator.refusals import ClusterError
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

    async def watch() -> None:
        # One may have gone since the last watch.
        for server in watched.servers.all():
            wake(server.name)
        async for pod in cluster.watch(PODS, namespace=namespace, labels=SERVER_LABEL):
            wake(pod["metadata"]["labels"][SERVER_LABEL])

    again = AsyncRetrying(
        retry=retry_if_exception_type(ClusterError),
        wait=Pause(first_seconds=_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS),
        before_sleep=_say,
    )
    while True:
        await again(watch)
        await asyncio.sleep(_PAUSE_SECONDS)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("the Pods of ModelServers cannot be watched: %s", error)
