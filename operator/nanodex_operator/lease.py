"""One replica works at a time: the holder of a Lease renews it, the others wait until it is old.

As client-go does, nobody compares two machines' clocks: a Lease is old when this process has seen
no change of it for as long as the Lease says. The holder stops well before the others begin.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nanodex_operator.cluster import Cluster
from nanodex_operator.kinds import LEASES
from nanodex_operator.readings import Object
from nanodex_operator.refusals import AlreadyExists, ClusterError, Conflict, NotFound

NAME = "nanodex-operator"

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another replica may work from now on."""


@dataclass(frozen=True)
class Terms:
    """How long a lease is trusted, in seconds.

    Attributes:
        duration: how long others wait after the last renewal that they saw.
        deadline: how long the holder works after its last renewal; shorter than `duration`, so that
            it has stopped when another one begins.
        period: between two renewals, or two looks.
    """

    duration: int = 15
    deadline: float = 10.0
    period: float = 3.0


@dataclass
class Sighting:
    """What the Lease said, and since when it has said nothing else."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    since: float = 0.0

    def note(self, spec: Mapping[str, Any], *, now: float) -> None:
        """Take in what the Lease says at `now` (monotonic seconds)."""
        if spec != self.spec or self.since == 0.0:
            self.spec, self.since = spec, now

    def may_be_taken(self, *, identity: str, now: float, duration: int) -> bool:
        """Whether nobody holds it, we do, or its holder was silent for too long."""
        holder = self.spec.get("holderIdentity")
        if not holder or holder == identity:
            return True
        said = self.spec.get("leaseDurationSeconds")
        # What another version wrote counts, within reason: a huge number must not lock us out.
        trusted = min(said, 10 * duration) if isinstance(said, int) and said > 0 else duration
        return now - self.since >= trusted


class Lease:
    """The Lease of this operator, as one replica sees it.

    Args:
        cluster: the API server.
        namespace: the operator's own.
        identity: of this process; no two processes have the same.
        terms: how long a lease is trusted.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        identity: str,
        terms: Terms | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.identity = identity
        self._terms = terms if terms is not None else Terms()
        self._clock = clock
        self._seen = Sighting()
        self._renewed: float | None = None
        self._ticked = clock()

    @property
    def held(self) -> bool:
        """Whether this replica may work at this moment; cheap, asked before each write."""
        return self._renewed is not None and self._clock() - self._renewed < self._terms.deadline

    def silence(self) -> float:
        """Return the seconds since the Lease was last looked at; safe from any thread."""
        return self._clock() - self._ticked

    async def acquire(self) -> None:
        """Return once this replica holds the Lease."""
        waiting_for = None
        while not await self._try():
            holder = self._seen.spec.get("holderIdentity")
            if holder != waiting_for:
                waiting_for = holder
                _log.info("waiting: %s holds the lease", holder)
            await asyncio.sleep(self._terms.period)
        _log.info("holding the lease as %s", self.identity)

    async def hold(self, *, through: Cluster | None = None) -> None:
        """Renew for ever.

        Args:
            through: asks the API server from now on, in the loop that this runs in; by default what
                asked it before.

        Raises:
            LeaseLost: it could not be renewed in time, or somebody else has it.
        """
        before, self._cluster = self._cluster, through or self._cluster
        try:
            await self._hold()
        finally:
            self._cluster = before

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(self._terms.period)
            assert self._renewed is not None
            left = self._renewed + self._terms.deadline - self._clock()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    renewed = await self._try()
            except TimeoutError:
                renewed = False
            if not renewed and self._is_anothers():
                raise LeaseLost(f"{self._seen.spec['holderIdentity']} took the lease")
            if not self.held:
                raise LeaseLost(f"the lease was not renewed for {self._terms.deadline:.0f} s")

    async def release(self) -> None:
        """Give the Lease back, so that a waiting replica need not wait; best effort."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            async with asyncio.timeout(self._terms.period):
                found = await self._cluster.get(LEASES, NAME, namespace=self._namespace)
                if found["spec"].get("holderIdentity") == self.identity:
                    await self._write(found, {**found["spec"], "holderIdentity": ""})
        except (ClusterError, TimeoutError) as error:
            _log.info("the lease was not given back, it expires: %s", error)

    async def _try(self) -> bool:
        """Take or renew the Lease if that is possible now."""
        asked = self._ticked = self._clock()
        try:
            taken = await self._take()
        except ClusterError as error:
            _log.warning("the lease could not be renewed: %s", error)
            return False
        if taken:
            # The others count from when they see the renewal, which is later than this.
            self._renewed = asked
        return taken

    async def _take(self) -> bool:
        try:
            found = await self._cluster.get(LEASES, NAME, namespace=self._namespace)
        except NotFound:
            return await self._create()
        # After the answer: a slow one must not make the Lease look older than it is.
        spec, now = found.get("spec", {}), self._clock()
        self._seen.note(spec, now=now)
        if not self._seen.may_be_taken(
            identity=self.identity, now=now, duration=self._terms.duration
        ):
            return False
        try:
            await self._write(found, self._spec(spec))
        except Conflict:
            return False
        return True

    async def _create(self) -> bool:
        manifest = {
            "apiVersion": LEASES.group_version,
            "kind": LEASES.kind,
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": self._spec({}),
        }
        try:
            await self._cluster.create(LEASES, manifest, namespace=self._namespace)
        except AlreadyExists:
            return False
        return True

    async def _write(self, found: Object, spec: Mapping[str, Any]) -> None:
        written = await self._cluster.replace(
            LEASES, {**found, "spec": dict(spec)}, namespace=self._namespace
        )
        self._seen.note(written.get("spec", {}), now=self._clock())

    def _spec(self, before: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        ours = before.get("holderIdentity") == self.identity
        changes = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._terms.duration,
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": changes if ours or not before else changes + 1,
        }

    def _is_anothers(self) -> bool:
        return self._seen.spec.get("holderIdentity") not in (None, "", self.identity)
