"""The whole product on a cluster, as docs/install.md says: chart, keys, a ModelServer, experts."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hack.kind.demo.objects import (
    CLIENTS,
    GIT_SECRET,
    KEY_SECRET,
    SYSTEM,
    TEAM,
    VALUES,
    code_expert,
    keys_of_clients,
    model_server,
)
from tests.cluster.kubectl import Kubectl
from tests.cluster.traffic import POD, answers, is_whole, traffic_pod
from tests.cluster.world import OTHER_TEAM, World
from tests.controlplane.api import DEFINITIONS, Api, Object
from tests.helm import CHART, Helm, as_flags

OPERATOR = "nanodex-operator"
SERVER = "smollm2"
EXPERTS = "nanodex.dev/v1alpha1/codeexperts"
SERVERS = "nanodex.dev/v1alpha1/modelservers"
ENGINES = f"nanodex.dev/server={SERVER}"
T = TypeVar("T")
# A second expert costs a few steps of training: that it answers well is the first one's part.
_QUICK: Object = {
    "dataset": {"maxFacts": 2, "formsPerFact": 8},
    "training": {"epochs": 1},
    "evaluation": {
        "arms": ["adapter"],
        "maxQuestions": 8,
        "maxNewTokens": 8,
        "minScore": "0.0",
        "mustBeatBase": False,
    },
}


class Product:
    """One release, and what is made with it.

    Args:
        world: store and git server.
        helm: installs the chart.
        kubectl: reaches into Pods.
        registry: where the images are.
    """

    def __init__(self, world: World, *, helm: Helm, kubectl: Kubectl, registry: str) -> None:
        self.world = world
        self.api: Api = world.api
        self.kubectl = kubectl
        self._helm = helm
        self._registry = registry
        self.key = ""

    def build(self) -> None:
        """Install everything and begin to serve; what the demo made is used as it is."""
        for name in (SYSTEM, TEAM, OTHER_TEAM, CLIENTS):
            self.world.tenant(name)
        known = self.api.find("v1/secrets", KEY_SECRET, namespace=CLIENTS)
        if known is not None:
            self.key = base64.b64decode(known["data"]["NANODEX_API_KEY"]).decode()
        else:
            self.key = f"nx-{secrets.token_hex(24)}"
            for body in keys_of_clients(self.key):
                self.world.apply(body)
        self.install()
        self.api.apply(SERVERS, model_server())

    def install(self, *, chart: Path = CHART) -> None:
        """Install or upgrade the release, and wait for its Pods."""
        registry = json.dumps(self._registry)
        self._helm.run(
            *("upgrade", "--install", "nanodex", str(chart), f"--namespace={SYSTEM}"),
            f"--values={VALUES}",
            *as_flags({"images.registry": registry, "images.engine.registry": registry}),
        )
        self.world.wait_for_deployment(OPERATOR, namespace=SYSTEM)

    def uninstall(self) -> None:
        """Remove the release."""
        self._helm.run("uninstall", "nanodex", f"--namespace={SYSTEM}", "--wait")

    def remove(self) -> None:
        """Remove everything that was made."""
        for resource in (EXPERTS, SERVERS):
            for one in self.api.find_all(resource):
                place = one["metadata"].get("namespace", "")
                self.api.delete(resource, one["metadata"]["name"], namespace=place)
        self.uninstall()
        for name in ("codeexperts", "modelservers"):
            self.api.delete(DEFINITIONS, f"{name}.nanodex.dev")

    def want(
        self,
        name: str,
        *,
        namespace: str,
        quick: bool = True,
        git: Object | None = None,
        spec: Object | None = None,
    ) -> None:
        """Apply the demo's CodeExpert, or a quicker one; either looks once for commits.

        Args:
            name: of the expert.
            namespace: where it is.
            quick: train a few steps only.
            git: what differs in `source.git`.
            spec: what differs in parts of the spec, by part.
        """
        body = code_expert()
        body["metadata"] = {"name": name, "namespace": namespace}
        source = body["spec"]["source"]["git"]
        # Each look is a Pod, and somebody pushes once.
        source |= {"interval": "1h", "secretRef": {"name": GIT_SECRET}, **(git or {})}
        for parts in (_QUICK if quick else {}, spec or {}):
            body["spec"] |= {part: body["spec"][part] | values for part, values in parts.items()}
        self.api.apply(EXPERTS, body, namespace=namespace)

    def drop(self, name: str, *, namespace: str) -> None:
        """Delete an expert, and wait until nothing of it runs any more."""
        self.api.delete(EXPERTS, name, namespace=namespace)
        labels = f"nanodex.dev/expert={name}"
        self.until(
            lambda: not self.api.find_all("v1/pods", namespace=namespace, labels=labels),
            seconds=180,
        )

    def stalled(self, namespace: str, name: str) -> dict[str, str]:
        """Return the condition that says why nothing goes on; empty while something does."""
        found = self.status(namespace, name).get("conditions", ())
        return next((o for o in found if o["type"] == "Stalled" and o["status"] == "True"), {})

    def kill_operator(self) -> None:
        """Delete the operator's Pod without a word of warning."""
        wanted = "app.kubernetes.io/component=operator"
        for one in self.api.find_all("v1/pods", namespace=SYSTEM, labels=wanted):
            name = one["metadata"]["name"]
            self.api.delete("v1/pods", name, namespace=SYSTEM, grace_seconds=0)

    def status(self, namespace: str, name: str = "parcelry") -> Object:
        """Return what the operator says of an expert."""
        expert = self.api.get(EXPERTS, name, namespace=namespace)
        found: Object = expert.get("status", {})
        return found

    def stage(self, namespace: str, stage: str, name: str = "parcelry") -> Object:
        """Return the entry of a stage; empty while there is none."""
        entries = self.status(namespace, name).get("stages", ())
        return next((one for one in entries if one["name"] == stage), {})

    def is_ready(self, namespace: str) -> bool:
        """Tell whether an expert answers, and nothing is under way."""
        found = conditions(self.status(namespace))
        assert found.get("Stalled") != "True", self.status(namespace)
        return found.get("Ready") == "True" and found.get("Reconciling") != "True"

    def until(self, look: Callable[[], T | None], *, seconds: float) -> T:
        """Return what a look returns as soon as it is true.

        Raises:
            AssertionError: it was not in time; with what somebody would look at first.
        """
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            if time.monotonic() > deadline:
                places = (SYSTEM, TEAM, OTHER_TEAM)
                said = "\n".join(self.world.explain(place) for place in places)
                raise AssertionError(f"not within {seconds:.0f} s\n{said}")
            time.sleep(0.5)
        return seen

    def engine_pods(self) -> list[Object]:
        """Return the Pods of the ModelServer."""
        return self.api.find_all("v1/pods", namespace=SYSTEM, labels=ENGINES)

    def engine_pod(self) -> Object:
        """Return the one Pod of the ModelServer."""
        [pod] = self.engine_pods()
        return pod

    def begin_traffic(self) -> None:
        """Let a Pod of another namespace ask from now on."""
        self.world.apply(
            traffic_pod(
                namespace=CLIENTS,
                node=self.world.nodes.keeper,
                image=self.world.images["nanodex"],
                url=f"http://ms-{SERVER}.{SYSTEM}.svc:8000/v1",
                model=f"{TEAM}/parcelry",
                secret=KEY_SECRET,
            )
        )
        self.until(lambda: self.traffic(since=0), seconds=120)

    def traffic(self, *, since: float) -> list[dict[str, Any]]:
        """Return what that Pod was answered."""
        pod = self.api.get("v1/pods", POD, namespace=CLIENTS)
        if pod["status"]["phase"] != "Running":
            return []
        return answers(self.kubectl.run("logs", POD, namespace=CLIENTS), since=since)

    def all_answers(self, *, since: float) -> list[dict[str, Any]]:
        """Return what that Pod was answered, as soon as all that it has asked until now is."""
        now = time.time()
        self.until(lambda: is_whole(self.traffic(since=0), until=now), seconds=500)
        return self.traffic(since=since)

    def ask(self, question: str, *, model: str) -> str:
        """Ask through the Service, from another namespace; returns what is said, errors too."""
        url = f"--url=http://ms-{SERVER}.{SYSTEM}.svc:8000"
        return self.kubectl.run(
            *("exec", POD, "--", "nanodex", "ask", model, question, "--max-tokens=48", url),
            namespace=CLIENTS,
            check=False,
        ).strip()

    def push(self, bundle: bytes) -> None:
        """Give the git server other commits; it is away for a moment."""
        self.world.reseed({"parcelry": bundle})


def conditions(status: Object) -> dict[str, str]:
    """Return the state of each condition."""
    return {one["type"]: one["status"] for one in status.get("conditions", ())}


def foreign_operators(api: Api) -> list[str]:
    """Return the namespaces of other operators: two would work on the same resources."""
    wanted = "app.kubernetes.io/name=nanodex,app.kubernetes.io/component=operator"
    found = api.find_all("apps/v1/deployments", labels=wanted)
    places = [str(one["metadata"]["namespace"]) for one in found]
    return [place for place in places if place != SYSTEM]


def artifacts(folder: Path, product: Product) -> None:
    """Keep the resources as they are at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    for resource in ("codeexperts", "modelservers"):
        text = product.kubectl.run("get", resource, "--all-namespaces", "--output=yaml")
        (folder / f"{resource}.yaml").write_text(text, encoding="utf-8")
