"""A namespace with CodeExperts and all that is around it: rights, node, store, operator."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.controlplane.api import Api, Object, Refused, eventually
from tests.controlplane.node import Node
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import ControlPlane
from tests.controlplane.release import Release, rendered
from tests.controlplane.stage_work import StageWork
from tests.helm import Helm
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

EXPERTS = "nanodex.dev/v1alpha1/codeexperts"
JOBS = "batch/v1/jobs"
STAGES = ["extract", "brain", "dataset", "train", "evaluate"]
TASKS = ["resolve", *STAGES]
# What an API server says that has just begun.
_PASSING = frozenset({429, 500, 503, 504})
_BASE = "hf://Qwen/Qwen2.5-Coder-7B-Instruct"


@dataclass
class World:
    """One namespace with CodeExperts in it, and everything around it."""

    plane: ControlPlane
    namespace: str
    release: Release
    node: Node
    work: StageWork
    operator: OperatorProcess
    another_operator: Callable[[], OperatorProcess]
    s3: S3Server

    @property
    def api(self) -> Api:
        """The administrator's requests."""
        return self.plane.api

    def create(self, name: str, **spec: Any) -> Object:
        """Apply a CodeExpert of a repository of its own that is published and not served."""
        return self.api.apply(EXPERTS, build_expert(name, **spec), namespace=self.namespace)

    def edit(self, name: str, **spec: Any) -> Object:
        """Merge fields into the spec."""
        return self.api.patch(EXPERTS, name, {"spec": spec}, namespace=self.namespace)

    def delete(self, name: str) -> None:
        """Begin to delete a CodeExpert."""
        self.api.delete(EXPERTS, name, namespace=self.namespace)

    def expert(self, name: str) -> Object:
        """Return a CodeExpert."""
        return self.api.get(EXPERTS, name, namespace=self.namespace)

    def status(self, name: str) -> Object:
        """Return the status of a CodeExpert."""
        status: Object = self.expert(name).get("status", {})
        return status

    def stage(self, name: str, task: str) -> Object:
        """Return what the status says about a task."""
        return stage_of(self.expert(name), task)

    def condition(self, name: str, type_: str) -> Object:
        """Return a condition, whatever its status."""
        conditions = self.status(name).get("conditions", [])
        return next((one for one in conditions if one["type"] == type_), {})

    def until(self, look: Callable[[], Any], *, seconds: float = 60.0) -> Any:
        """Return what `look` sees as soon as that is true; the log says why it was not."""

        def seen() -> Any:
            # The API server may be away or busy, and a kubelet would restart the operator.
            self.operator.restart_if_ended()
            try:
                return look()
            except httpx.TransportError:
                return None
            except Refused as refused:
                if refused.status not in _PASSING:
                    raise
                return None

        try:
            return eventually(seen, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._story()}") from None

    def until_ready(self, name: str, *, seconds: float = 90.0) -> Object:
        """Return a CodeExpert once all that its present spec asks for is done."""

        def ready() -> Object | None:
            expert = self.expert(name)
            status = expert.get("status", {})
            done = status.get("phase") == "Ready"
            current = status.get("observedGeneration") == expert["metadata"]["generation"]
            return expert if done and current else None

        found: Object = self.until(ready, seconds=seconds)
        return found

    def until_stage(self, name: str, task: str, state: str, *, seconds: float = 60.0) -> Object:
        """Return what the status says about a task once it is in a state."""

        def there() -> Object | None:
            entry = self.stage(name, task)
            return entry if entry.get("state") == state else None

        found: Object = self.until(there, seconds=seconds)
        return found

    def until_stalled(self, name: str, reason: str) -> Object:
        """Return the condition Stalled once it has a reason."""

        def stalled() -> Object | None:
            condition = self.condition(name, "Stalled")
            return condition if condition.get("reason") == reason else None

        found: Object = self.until(stalled)
        return found

    def jobs(self, name: str, task: str = "") -> list[Object]:
        """Return the Jobs of a CodeExpert, of one task or of all."""
        return self._children(JOBS, name, task)

    def pods(self, name: str, task: str = "") -> list[Object]:
        """Return the Pods of a CodeExpert, of one task or of all."""
        return self._children("v1/pods", name, task)

    def job_is_gone(self, job: str) -> bool:
        """Return whether there is no such Job."""
        return self.api.find(JOBS, job, namespace=self.namespace) is None

    def nothing_is_left(self, name: str) -> bool:
        """Return whether a CodeExpert is gone, and all that it made in the cluster."""
        gone = self.api.find(EXPERTS, name, namespace=self.namespace) is None
        return gone and not self.jobs(name) and not self.pods(name)

    def events(self, name: str, reason: str = "") -> list[Object]:
        """Return the Events about a CodeExpert."""
        return [
            event
            for event in self.api.find_all("v1/events", namespace=self.namespace)
            if event["involvedObject"]["kind"] == "CodeExpert"
            and event["involvedObject"]["name"] == name
            and (not reason or event["reason"] == reason)
        ]

    def settle(self, *names: str, seconds: float = 2.0) -> None:
        """Wait until nothing has happened to some CodeExperts and their Jobs for a while."""
        seen = None
        while seen != (seen := [self._versions(name) for name in names]):
            time.sleep(seconds)

    def _versions(self, name: str) -> list[str]:
        expert = self.api.find(EXPERTS, name, namespace=self.namespace)
        things = [*([expert] if expert else []), *self.jobs(name)]
        return [thing["metadata"]["resourceVersion"] for thing in things]

    def _children(self, resource: str, name: str, task: str) -> list[Object]:
        labels = f"nanodex.dev/expert={name}" + (f",nanodex.dev/stage={task}" if task else "")
        return self.api.find_all(resource, namespace=self.namespace, labels=labels)

    def _story(self) -> str:
        with contextlib.suppress(httpx.TransportError, Refused):
            experts = self.api.find_all(EXPERTS, namespace=self.namespace)
            statuses = {one["metadata"]["name"]: one.get("status") for one in experts}
            return f"{yaml.safe_dump(statuses)[-8000:]}\n{self.operator.tail()}"
        return self.operator.tail()


@dataclass
class Surroundings:
    """What all worlds share: the cluster, the chart, the store and a folder."""

    plane: ControlPlane
    helm: Helm
    s3: S3Server
    folder: Path

    @property
    def s3_environment(self) -> dict[str, str]:
        """Credentials and endpoint, for the operator and for what the Pods do."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL_S3": self.s3.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def world(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        login: Callable[[Path], Path] = lambda kubeconfig: kubeconfig,
        process: type[OperatorProcess] = OperatorProcess,
        started: bool = True,
    ) -> Iterator[World]:
        """Make a world.

        Args:
            settings: Environment of the operator in place of the chart's.
            login: Returns the kubeconfig to use in place of the account's own.
            process: How the operator runs.
            started: Whether the operator is at work already.
        """
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = self.plane.create_namespace(labels=restricted)
        system = self.plane.create_namespace("system")
        store = f"s3://{BUCKET}/{namespace}"
        release = rendered(
            self.helm,
            namespace=system,
            watched=[namespace],
            store=store,
            endpoint=self.s3.endpoint,
        )
        release.grant(self.plane.api)
        account = self.plane.service_account_kubeconfig(release.account, namespace=system)
        operators: list[OperatorProcess] = []

        def another() -> OperatorProcess:
            pod = f"operator-{len(operators)}"
            folder = self.folder / namespace / pod
            folder.mkdir(parents=True)
            made = process(
                folder,
                kubeconfig=login(account),
                settings=self.s3_environment | release.environment(pod) | dict(settings or {}),
                group=self.plane.group,
            )
            operators.append(made)
            return made

        operator, work = another(), StageWork(store=store)
        try:
            if started:
                operator.start()
                operator.wait_until_leading()
            with Node(self.plane.kubeconfig, namespaces=[namespace], work=work) as node:
                yield World(
                    plane=self.plane,
                    namespace=namespace,
                    release=release,
                    node=node,
                    work=work,
                    operator=operator,
                    another_operator=another,
                    s3=self.s3,
                )
            assert [error for each in operators for error in each.errors()] == []
        finally:
            for each in operators:
                each.kill()
            for name in (namespace, system):
                self.plane.delete_namespace(name)


def build_expert(name: str, **spec: Any) -> Object:
    """Return a CodeExpert that is published and not served."""
    whole: Object = {
        "source": {"git": {"url": f"https://git.example.com/acme/{name}.git"}},
        "baseModel": {"uri": _BASE},
        "serving": {"enabled": False},
    }
    return {
        "apiVersion": "nanodex.dev/v1alpha1",
        "kind": "CodeExpert",
        "metadata": {"name": name},
        "spec": whole | spec,
    }


def stage_of(expert: Object, task: str) -> Object:
    """Return what the status of a CodeExpert says about a task."""
    entries: list[Object] = expert.get("status", {}).get("stages", [])
    return next((entry for entry in entries if entry["name"] == task), {})


def keys_of(expert: Object) -> dict[str, str]:
    """Return the key of the run of each stage."""
    return {task: stage_of(expert, task)["key"] for task in STAGES}
