"""A stand-in for scheduler and kubelet: it plays the nodes, as a test's script says.

It binds Pods, walks them through Pending and Running to their end, and removes the ones that are
deleted; the real controllers draw their conclusions. Nothing runs in a Pod but the `work` that a
test gives. That real Pods behave so is shown on a real cluster, by the tests in `tests/cluster`.

    with Node(control_plane.kubeconfig, namespaces=[namespace], work=write_artifacts) as node:
        node.script(Outcome(reason="OOMKilled"), stage="train", times=1)
"""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import json
import threading
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.controlplane import outcome as status
from tests.controlplane.api import Api, Connection, Object, Refused, answer, path
from tests.controlplane.outcome import Outcome

NAME = "nanodex-test-node"
STAGE_LABEL = "nanodex.dev/stage"
EXPERT_LABEL = "nanodex.dev/expert"
# What a request is tried again after.
_PASSING = frozenset({409, 429, 500, 502, 503, 504})
_AGAIN_SECONDS = 0.1
_POLL_SECONDS = 0.02


class _Rule:
    """An outcome for the Pods with some labels, for as many of them as it is meant for."""

    def __init__(self, outcome: Outcome, *, labels: Mapping[str, str], times: int | None) -> None:
        self.outcome = outcome
        self._labels = dict(labels)
        self._left = times

    def takes(self, pod: Object) -> bool:
        """Return whether it is for this Pod, and count that."""
        labels = pod["metadata"].get("labels", {})
        if self._left == 0 or not self._labels.items() <= labels.items():
            return False
        if self._left is not None:
            self._left -= 1
        return True


class Node:
    """Plays one big node, in a thread with an event loop of its own."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        namespaces: Collection[str] = (),
        work: Callable[[Object], str | None] | None = None,
    ) -> None:
        """Prepare; nothing happens before the node is entered.

        Args:
            kubeconfig: Of an administrator.
            namespaces: Whose Pods it takes; all Pods when empty.
            work: What a Pod that succeeds does by default; see `Outcome.work`.
        """
        self._kubeconfig = kubeconfig
        self._namespaces = frozenset(namespaces)
        self._work = work
        self._rules: list[_Rule] = []
        self._scripting = threading.Lock()
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._ending: set[str] = set()
        self._sending: set[asyncio.Future[httpx.Response]] = set()
        self._numbers = itertools.count(1)
        self._errors: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=NAME)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._up = threading.Event()
        # Every Pod whose containers were started, in that order.
        self.started: list[Object] = []

    def script(
        self,
        outcome: Outcome,
        *,
        stage: str = "",
        expert: str = "",
        labels: Mapping[str, str] | None = None,
        times: int | None = None,
    ) -> None:
        """Say what happens to Pods that start from now on; the latest word on a Pod counts.

        Args:
            outcome: What happens.
            stage: Of which stage; of any when empty.
            expert: Of which CodeExpert; of any when empty.
            labels: Other labels that the Pod must have.
            times: For how many Pods; an earlier word counts for those after them.
        """
        wanted = dict(labels or {})
        wanted |= {STAGE_LABEL: stage} if stage else {}
        wanted |= {EXPERT_LABEL: expert} if expert else {}
        with self._scripting:
            self._rules.insert(0, _Rule(outcome, labels=wanted, times=times))

    def __enter__(self) -> Self:
        with Api(self._kubeconfig) as api:
            _register(api)
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._main is not None
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        assert not self._errors, "the node met errors:\n" + "\n".join(self._errors)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        connection = Connection.from_kubeconfig(self._kubeconfig)
        async with httpx.AsyncClient(
            base_url=connection.server,
            verify=connection.tls,
            headers=connection.headers | {"User-Agent": NAME},
            timeout=30,
            limits=httpx.Limits(max_connections=32),
            trust_env=False,
        ) as http:
            self._http = http
            self._up.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch()
            for life in self._lives.values():
                life.cancel()
            await asyncio.gather(*self._lives.values(), *self._sending, return_exceptions=True)

    async def _watch(self) -> None:
        """Follow all Pods, through everything that happens to the API server."""
        while True:
            try:
                found = answer(await self._http.get(path("v1/pods")))
                for pod in found["items"]:
                    self._see(pod)
                present = {pod["metadata"]["uid"] for pod in found["items"]}
                for uid in self._lives.keys() - present:
                    self._forget(uid)
                await self._follow(found["metadata"]["resourceVersion"])
            except (httpx.TransportError, Refused):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, version: str) -> None:
        parameters = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "300"}
        timeout = httpx.Timeout(30, read=None)
        async with self._http.stream(
            "GET", path("v1/pods"), params=parameters, timeout=timeout
        ) as response:
            if not response.is_success:
                await response.aread()
                answer(response)
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self._forget(event["object"]["metadata"]["uid"])
                else:
                    self._see(event["object"])

    def _see(self, pod: Object) -> None:
        meta = pod["metadata"]
        if self._namespaces and meta["namespace"] not in self._namespaces:
            return
        uid = meta["uid"]
        if "deletionTimestamp" in meta:
            if uid not in self._ending:
                self._ending.add(uid)
                self._begin(uid, self._end(pod))
        elif uid not in self._lives and not _over(pod):
            self._outcomes[uid] = self._outcome(pod)
            self._begin(uid, self._live(pod, self._outcomes[uid]))

    def _begin(self, uid: str, life: Coroutine[None, None, None]) -> None:
        if (former := self._lives.get(uid)) is not None:
            former.cancel()
        task = asyncio.get_running_loop().create_task(life)
        task.add_done_callback(self._note_error)
        self._lives[uid] = task

    def _note_error(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append("".join(traceback.format_exception(error)))

    def _forget(self, uid: str) -> None:
        if (life := self._lives.pop(uid, None)) is not None:
            life.cancel()
        self._outcomes.pop(uid, None)
        self._ending.discard(uid)

    def _outcome(self, pod: Object) -> Outcome:
        with self._scripting:
            for rule in self._rules:
                if rule.takes(pod):
                    return rule.outcome
        return Outcome()

    async def _live(self, pod: Object, outcome: Outcome) -> None:
        """Take a Pod from its creation to its end."""
        if outcome.reason == status.UNSCHEDULABLE:
            stuck = status.unschedulable(pod, message=outcome.message, now=_now())
            await self._write(pod, stuck)
            await _opened(outcome.until or threading.Event())
        pod = await self._bind(pod)
        if outcome.reason in status.WAITING:
            stuck = status.waiting(pod, reason=outcome.reason, message=outcome.message, now=_now())
            pod = await self._write(pod, stuck)
            await _opened(outcome.until or threading.Event())
        address = outcome.address or self._address()
        pod = await self._write(pod, status.running(pod, address=address, now=_now()))
        self.started.append(pod)
        if outcome.stuck:
            outcome = Outcome()
        # What a Deployment makes is there to stay.
        forever = pod["spec"]["restartPolicy"] == "Always"
        await asyncio.sleep(outcome.seconds)
        if outcome.until is not None or forever:
            await _opened(outcome.until or threading.Event())
        ended = await self._worked(pod, outcome)
        await self._write(pod, status.ended(pod, ended, now=_now()))

    async def _worked(self, pod: Object, outcome: Outcome) -> Outcome:
        """Return how a Pod ends after it has done its work."""
        work = outcome.work or (self._work if outcome.code == 0 else None)
        if work is None:
            return outcome
        try:
            message = await asyncio.to_thread(work, pod)
        except Exception as error:
            self._errors.append("".join(traceback.format_exception(error)))
            return Outcome(exit_code=1, message=str(error))
        return dataclasses.replace(outcome, message=message or outcome.message)

    async def _end(self, pod: Object) -> None:
        """Stop what runs in a deleted Pod, say so, and let go of it, as a kubelet does."""
        meta = pod["metadata"]
        # It may have ended while the deletion was on its way.
        latest = await self._get(pod)
        if latest is None or latest["metadata"]["uid"] != meta["uid"]:
            return
        if not _over(latest):
            outcome = self._outcomes.get(meta["uid"], Outcome())
            stopped = Outcome(exit_code=outcome.exit_code_when_stopped)
            await self._write(latest, status.ended(latest, stopped, now=_now()))
        place = path("v1/pods", namespace=meta["namespace"], name=meta["name"])
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await self._ask(lambda: self._http.request("DELETE", place, json=options))

    async def _bind(self, pod: Object) -> Object:
        meta = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            place = path(
                "v1/pods", namespace=meta["namespace"], name=meta["name"], subresource="binding"
            )
            body = {
                "metadata": {"name": meta["name"], "uid": meta["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NAME},
            }
            await self._ask(lambda: self._http.post(place, json=body))
        return await self._get(pod) or pod

    async def _get(self, pod: Object) -> Object | None:
        meta = pod["metadata"]
        place = path("v1/pods", namespace=meta["namespace"], name=meta["name"])
        return await self._ask(lambda: self._http.get(place))

    async def _write(self, pod: Object, new: Object) -> Object:
        meta = pod["metadata"]
        place = path(
            "v1/pods", namespace=meta["namespace"], name=meta["name"], subresource="status"
        )
        body = {"metadata": {"uid": meta["uid"]}, "status": new}
        headers = {"Content-Type": "application/merge-patch+json"}
        return await self._ask(lambda: self._http.patch(place, json=body, headers=headers)) or pod

    async def _ask(self, request: Callable[[], Awaitable[httpx.Response]]) -> Object | None:
        """Return what is answered, None when the Pod is gone; try again what passes."""
        while True:
            try:
                return answer(await self._finished(request()))
            except httpx.TransportError:
                pass
            except Refused as refused:
                if refused.status == httpx.codes.NOT_FOUND:
                    return None
                if refused.status not in _PASSING:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _finished(self, request: Awaitable[httpx.Response]) -> httpx.Response:
        """Return the response; when the Pod is called off, its connection is not left open."""
        sending = asyncio.ensure_future(request)
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return await asyncio.shield(sending)

    def _address(self) -> str:
        """Return an address that no other Pod has, of a range that leads nowhere."""
        high, low = divmod(next(self._numbers), 250)
        return f"10.244.{high % 250}.{low + 1}"


def _register(api: Api) -> None:
    """Make the Node: a Pod on a node that does not exist is collected as garbage."""
    api.apply("v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}})
    now = _now()
    size = {"cpu": "64", "memory": "512Gi", "pods": "10000", "ephemeral-storage": "2Ti"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    body = {"status": {"capacity": size, "allocatable": size, "conditions": [ready]}}
    api.patch("v1/nodes", NAME, body, subresource="status")


async def _opened(gate: threading.Event) -> None:
    # Polled: a thread that waits could not be called off when the Pod is deleted.
    while not gate.is_set():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _now() -> str:
    return status.timestamp(datetime.datetime.now(datetime.UTC))
