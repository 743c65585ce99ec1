"""kopf: watches, and nothing else. Its handlers hand on what they are shown.

Only `on.event` is used: it alone leaves the objects as they are, without finalizers and
annotations, and lets go of them. What there is at the start is known before kopf begins.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import kopf

from nanodex_operator.account import Account
from nanodex_operator.cluster import PAGE
from nanodex_operator.intake import Intake
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, MODEL_SERVERS, NAMESPACES, PODS, Resource
from nanodex_operator.manifests.metadata import EXPERT_LABEL
from nanodex_operator.readings import Object
from nanodex_operator.settings import Settings

# A login that was refused is not repeated faster than this.
_LOGIN_PAUSE_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 60.0

Handler = Callable[[Object], None]


async def serve(
    intake: Intake,
    *,
    account: Account,
    settings: Settings,
    shown: Callable[[bool], None],
    stop: asyncio.Event,
) -> None:
    """Watch until `stop` is set or a signal comes.

    Args:
        intake: is handed what the watches show.
        account: logs in.
        settings: which namespaces.
        shown: is called with each event; True for one that a listing brought.
        stop: ends it.

    Raises:
        Exception: a watch failed in a way that only a new process can mend.
    """
    registry = kopf.OperatorRegistry()
    _log_in(registry, account)
    handlers: tuple[tuple[Resource, Handler, Handler], ...] = (
        (CODE_EXPERTS, intake.see_expert, intake.lose_expert),
        (JOBS, intake.see_job, intake.lose_job),
        (PODS, intake.see_pod, intake.lose_pod),
        (MODEL_SERVERS, intake.see_server, intake.lose_server),
        (NAMESPACES, intake.see_namespace, intake.lose_namespace),
    )
    for resource, see, lose in handlers:
        _watch(registry, resource, see=see, lose=lose, shown=shown)
    await kopf.operator(
        registry=registry,
        settings=_kopf_settings(),
        standalone=True,
        clusterwide=not settings.watch_namespaces,
        namespaces=list(settings.watch_namespaces),
        stop_flag=stop,
    )


def _watch(
    registry: kopf.OperatorRegistry,
    resource: Resource,
    *,
    see: Handler,
    lose: Handler,
    shown: Callable[[bool], None],
) -> None:
    names = (resource.group_version, resource.plural)

    @kopf.on.event(*names, registry=registry, id=resource.plural)
    async def event(type: str | None, body: kopf.Body, **_: Any) -> None:
        if type == "DELETED":
            lose(dict(body))
        else:
            see(dict(body))
            _let_go(body)
        shown(type is None)


def _let_go(body: kopf.Body) -> None:
    """Empty an object that was taken in.

    kopf keeps it for a while, and it is some 50 kB as dictionaries; the names are all that is
    needed of it afterwards.
    """
    for part in ("spec", "status"):
        found = body.get(part)
        if isinstance(found, dict):
            found.clear()
    body["metadata"].pop("managedFields", None)


def _log_in(registry: kopf.OperatorRegistry, account: Account) -> None:
    # kopf takes no login that equals one that was refused, but a token may work again later.
    counter, last = itertools.count(), float("-inf")

    @kopf.on.login(registry=registry, backoff=_LOGIN_PAUSE_SECONDS)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        nonlocal last
        await asyncio.sleep(max(0.0, last + _LOGIN_PAUSE_SECONDS - time.monotonic()))
        last = time.monotonic()
        login = await account.login()
        return kopf.ConnectionInfo(
            server=login.server,
            ca_path=login.ca_path,
            insecure=login.insecure,
            scheme=login.scheme,
            token=login.token,
            certificate_path=login.certificate_path,
            private_key_path=login.private_key_path,
            priority=next(counter),
        )


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # The CRDs are there before we start, and namespaces are named or all.
    settings.scanning.disabled = True
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    # An API server that is away is no reason to end: nothing is lost by waiting.
    settings.networking.error_backoffs = _Patience()
    # Memory that a listing took is not given back, and all Jobs at once take the most.
    settings.watching.chunk_size = PAGE
    settings.persistence.diffbase_storage = _NothingToCompare()
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[resource.group_version, resource.plural] = EXPERT_LABEL
    return settings


class _NothingToCompare(kopf.DiffBaseStorage):
    """Keeps kopf from copying each object whole, to find differences that no handler wants."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing of an object."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Remember nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""


class _Patience(Iterable[float]):
    """Waits between attempts, in seconds, without end."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5), itertools.repeat(8))
