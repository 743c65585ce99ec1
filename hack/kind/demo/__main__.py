"""`make kind-demo`: the whole product on the cluster of `make kind-up`, in front of your eyes.

A store and a git server in the cluster, the chart, a ModelServer, a CodeExpert; then the operator
turns a commit into an adapter, each stage as a Job, vLLM loads it, and a Pod of another namespace
asks. docs/kind.md shows the same by hand. A second run finds what there is.
"""

import json
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hack.debian import Lacks
from hack.images.catalog import IMAGES, ROOT, version
from hack.images.tool import BuildFailed
from hack.kind.build import CannotBuild
from hack.kind.cluster import DEFAULT_NAME, Cluster, Failed, folder, product_images
from hack.kind.demo.objects import (
    CLIENTS,
    GIT_SECRET,
    KEY_SECRET,
    STORE_SECRET,
    SYSTEM,
    TEAM,
    VALUES,
    WORLD,
    code_expert,
    keys_of_clients,
    model_server,
    store_keys,
)
from hack.kind.loading import load_missing
from hack.kind.provider import known_provider
from hack.kind.world.certificate import self_signed
from hack.kind.world.images import git_image, reference_of, store_image
from hack.kind.world.manifests import (
    Object,
    bucket,
    git_server,
    namespace,
    s3_store,
    secret,
    task,
)
from hack.kind.world.repository import bundle_of_sample

# In wordings that training never saw.
QUESTIONS = (
    "Tell me the file in which `ParcelryError` is implemented.",
    "How much or what is `kDivisorAir`?",
    "Which helpers does `mint_waybill` make use of?",
)
NANODEX = IMAGES["nanodex"].reference(version())
NEEDED = ("operator", "nanodex", "trainer", "vllm-cpu")
_JOB_SECONDS = 300.0
_WAIT_SECONDS = 3600.0
_BEGIN = time.monotonic()


def tell(line: str) -> None:
    """Say how far we are."""
    print(f"[{time.monotonic() - _BEGIN:4.0f} s] {line}", file=sys.stderr, flush=True)


def world(cluster: Cluster) -> None:
    """Make the store and the git server, and the Secrets of those who use them."""
    made = [namespace(name) for name in (SYSTEM, WORLD, TEAM, CLIENTS)]
    cluster.apply(made)
    # It is made last.
    found = ("get", "job/bucket", "--ignore-not-found", "--output=name")
    if cluster.kubectl(f"--namespace={WORLD}", *found).strip():
        return
    tool = cluster.provider.tool
    wanted = [store_image(tool), git_image(tool, tell=tell)]
    load_missing(cluster, wanted)
    keys = store_keys([TEAM])
    login = {"username": "reader", "password": secrets.token_urlsafe(16)}
    key = f"nx-{secrets.token_hex(24)}"
    tls = self_signed([f"git.{WORLD}.svc"])
    with TemporaryDirectory(prefix="nanodex-demo-") as folder:
        bundle = bundle_of_sample(Path(folder))
    cluster.apply(
        [
            *(one.secret(STORE_SECRET, namespace=name) for name, one in keys.items()),
            *keys_of_clients(key),
            secret(GIT_SECRET, namespace=TEAM, values={**login, "ca.crt": tls["tls.crt"]}),
            *s3_store(namespace=WORLD, image=reference_of("s3"), keys=[*keys.values()]),
            *git_server(
                namespace=WORLD,
                image=reference_of("git"),
                tls=tls,
                auth=login,
                bundles={"parcelry": bundle},
            ),
            bucket(namespace=WORLD, image=NANODEX, secret=STORE_SECRET),
        ]
    )
    for name in ("deployment/s3", "deployment/git"):
        cluster.kubectl(f"--namespace={WORLD}", "rollout", "status", name, "--timeout=300s")
    finished(cluster, "bucket", namespace=WORLD)


def finished(cluster: Cluster, name: str, *, namespace: str) -> str:
    """Wait for a Job and return what it printed.

    Raises:
        Failed: it failed, or did not succeed within five minutes.
    """
    inside = f"--namespace={namespace}"
    deadline = time.monotonic() + _JOB_SECONDS
    while time.monotonic() < deadline:
        job: Object = json.loads(cluster.kubectl(inside, "get", "job", name, "--output=json"))
        conditions = job.get("status", {}).get("conditions", ())
        ended = {one["type"] for one in conditions if one["status"] == "True"}
        if ended & {"Complete", "Failed"}:
            said = cluster.kubectl(inside, "logs", f"job/{name}")
            if "Failed" in ended:
                raise Failed(f"Job {name} failed: {said.strip()}")
            return said
        time.sleep(1)
    raise Failed(f"Job {name} has not ended after {_JOB_SECONDS:.0f} s")


def follow(cluster: Cluster, *, until: str) -> Object:
    """Print what the operator says of the expert until a condition is True.

    Raises:
        Failed: the expert is stalled, or it takes too long.
    """
    said = ""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        expert: Object = json.loads(
            cluster.kubectl(f"--namespace={TEAM}", "get", "ce", "parcelry", "--output=json")
        )
        status: dict[str, Any] = expert.get("status", {})
        line = f"{status.get('phase', '')}: {status.get('message', '')}"
        if line != said:
            tell(line)
        said = line
        conditions = {one["type"]: one for one in status.get("conditions", ())}
        if conditions.get(until, {}).get("status") == "True":
            return expert
        if conditions.get("Stalled", {}).get("status") == "True":
            raise Failed(f"the expert is stalled: {conditions['Stalled']}")
        time.sleep(2)
    raise Failed(f"the expert is not {until} after {_WAIT_SECONDS:.0f} s")


def stages(expert: Object) -> str:
    """Return a line for each stage: when it began, how long its Pod ran, and its figures."""
    lines = []
    created = datetime.fromisoformat(expert["metadata"]["creationTimestamp"])
    for stage in expert["status"]["stages"]:
        seconds = after = 0.0
        if "startedAt" in stage and "finishedAt" in stage:
            begin, end = (
                datetime.fromisoformat(stage[name]) for name in ("startedAt", "finishedAt")
            )
            seconds = (end - begin).total_seconds()
            after = (begin - created).total_seconds()
        figures = ", ".join(f"{key} {value}" for key, value in stage.get("metrics", {}).items())
        when = f"at {after:4.0f} s, {seconds:4.0f} s"
        lines.append(f"{stage['name']:9} {stage['state']:10} {when}  {figures}\n")
    ready = next(one for one in expert["status"]["conditions"] if one["type"] == "Ready")
    answers = (datetime.fromisoformat(ready["lastTransitionTime"]) - created).total_seconds()
    lines.append(f"{'':9} {'Ready':10} at {answers:4.0f} s\n")
    return "".join(lines)


def ask(cluster: Cluster, model: str, question: str, *, url: str, number: int) -> str:
    """Ask from a Pod of another namespace, and return what the server answers."""
    name = f"ask-{number}"
    # A second run asks again.
    cluster.kubectl(f"--namespace={CLIENTS}", "delete", "job", name, "--ignore-not-found")
    command = ("nanodex", "ask", model, question, "--max-tokens=48", f"--url={url}")
    job = task(
        name,
        namespace=CLIENTS,
        image=NANODEX,
        command=command,
        env={"HOME": "/tmp"},
        secrets=(KEY_SECRET,),
    )
    cluster.apply([job])
    return finished(cluster, name, namespace=CLIENTS).strip()


def demo(cluster: Cluster) -> None:
    """Do all of it.

    Raises:
        Failed: a step failed.
    """
    wanted = product_images(cluster.provider.tool)
    if missing := sorted({IMAGES[name].reference(version()) for name in NEEDED} - set(wanted)):
        raise Failed(f"run `make images` first: there is no {', '.join(missing)}")
    load_missing(cluster, wanted)
    world(cluster)
    tell("store and git server answer")
    cluster.helm(
        "upgrade", "--install", "nanodex", str(ROOT / "charts" / "nanodex"),
        f"--namespace={SYSTEM}", f"--values={VALUES}", "--wait", "--timeout=5m",
    )  # fmt: skip
    tell("the operator runs")
    cluster.apply([model_server(), code_expert()])
    expert = follow(cluster, until="Ready")
    kept = folder(cluster.name) / "parcelry.yaml"
    get = ("get", "ce", "parcelry", "--output=yaml")
    kept.write_text(cluster.kubectl(f"--namespace={TEAM}", *get), encoding="utf-8")
    print(stages(expert), end="")
    serving = expert["status"]["serving"]
    url = serving["url"].removesuffix("/v1")
    for number, question in enumerate(QUESTIONS):
        print(f"\n{question}")
        for place, model in enumerate(("base", serving["model"])):
            answer = ask(cluster, model, question, url=url, number=2 * number + place)
            print(f"  {model}: {answer}")
    tell(f"the whole resource is in {kept}")


def main() -> int:
    """Run the demo."""
    try:
        cluster = Cluster(DEFAULT_NAME, provider=known_provider(), tell=tell)
        if not cluster.exists():
            raise Failed("there is no cluster: run `make kind-up`")
        demo(cluster)
    except (Lacks, BuildFailed, CannotBuild, Failed) as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
