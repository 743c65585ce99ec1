"""`make kind-demo`: the whole product on the cluster of `make kind-up`, in front of your eyes.

A store and a git server in the cluster, the chart, a CodeExpert; then the operator turns a commit
into a judged adapter, each stage as a Job. docs/kind.md shows the same by hand. A second run finds
what there is.
"""

import json
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from hack.debian import Lacks
from hack.images.catalog import IMAGES, ROOT, version
from hack.images.tool import BuildFailed
from hack.kind.build import CannotBuild
from hack.kind.cluster import DEFAULT_NAME, Cluster, Failed, product_images
from hack.kind.provider import known_provider
from hack.kind.world.certificate import self_signed
from hack.kind.world.images import git_image, reference_of, store_image
from hack.kind.world.manifests import (
    Keys,
    Object,
    bucket,
    git_server,
    namespace,
    s3_store,
    secret,
)
from hack.kind.world.repository import bundle_of_sample

HERE = Path(__file__).resolve().parent
SYSTEM = "nanodex-system"
WORLD = "nanodex-world"
TEAM = "team-a"
NANODEX = IMAGES["nanodex"].reference(version())
_WAIT_SECONDS = 3600.0
_BEGIN = time.monotonic()


def tell(line: str) -> None:
    """Say how far we are."""
    print(f"[{time.monotonic() - _BEGIN:4.0f} s] {line}", file=sys.stderr, flush=True)


def world(cluster: Cluster) -> None:
    """Make the store and the git server, and the Secrets of those who use them."""
    made = [namespace(name) for name in (SYSTEM, WORLD, TEAM)]
    cluster.apply(made)
    # It is made last.
    found = ("get", "job/bucket", "--ignore-not-found", "--output=name")
    if cluster.kubectl(f"--namespace={WORLD}", *found).strip():
        return
    tool = cluster.provider.tool
    wanted = [store_image(tool), git_image(tool, tell=tell)]
    cluster.load([one for one in wanted if not cluster.holds(one)])
    keys = Keys(
        name="demo",
        access_key="demo",
        secret_key=secrets.token_urlsafe(24),
        actions=("Admin", "Read", "Write", "List", "Tagging"),
    )
    login = {"username": "reader", "password": secrets.token_urlsafe(16)}
    tls = self_signed([f"git.{WORLD}.svc"])
    with TemporaryDirectory(prefix="nanodex-demo-") as folder:
        bundle = bundle_of_sample(Path(folder))
    cluster.apply(
        [
            *(keys.secret("nanodex-s3", namespace=name) for name in (SYSTEM, WORLD, TEAM)),
            secret("parcelry-git", namespace=TEAM, values={**login, "ca.crt": tls["tls.crt"]}),
            *s3_store(namespace=WORLD, image=reference_of("s3"), keys=(keys,)),
            *git_server(
                namespace=WORLD,
                image=reference_of("git"),
                tls=tls,
                auth=login,
                bundles={"parcelry": bundle},
            ),
            bucket(namespace=WORLD, image=NANODEX, secret="nanodex-s3"),
        ]
    )
    for name in ("deployment/s3", "deployment/git"):
        cluster.kubectl(f"--namespace={WORLD}", "rollout", "status", name, "--timeout=300s")
    finished(cluster, "bucket", namespace=WORLD)


def finished(cluster: Cluster, name: str, *, namespace: str) -> str:
    """Wait for a Job and return what it printed.

    Raises:
        Failed: it did not succeed within five minutes.
    """
    inside = f"--namespace={namespace}"
    wait = ("wait", "--for=condition=Complete", f"job/{name}", "--timeout=300s")
    cluster.kubectl(inside, *wait)
    return cluster.kubectl(inside, "logs", f"job/{name}")


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
    """Return a line for each stage: how long its Pod ran, and its most telling figures."""
    lines = []
    for stage in expert["status"]["stages"]:
        seconds = 0.0
        if "startedAt" in stage and "finishedAt" in stage:
            begin, end = (
                datetime.fromisoformat(stage[name]) for name in ("startedAt", "finishedAt")
            )
            seconds = (end - begin).total_seconds()
        figures = ", ".join(f"{key} {value}" for key, value in stage.get("metrics", {}).items())
        lines.append(f"{stage['name']:9} {stage['state']:10} {seconds:5.0f} s  {figures}\n")
    return "".join(lines)


def demo(cluster: Cluster) -> None:
    """Do all of it."""
    wanted = product_images(cluster.provider.tool)
    cluster.load([one for one in wanted if not cluster.holds(one)])
    world(cluster)
    tell("store and git server answer")
    cluster.helm(
        "upgrade", "--install", "nanodex", str(ROOT / "charts" / "nanodex"),
        f"--namespace={SYSTEM}", f"--values={HERE / 'values.yaml'}", "--wait", "--timeout=5m",
    )  # fmt: skip
    tell("the operator runs")
    text = (HERE / "codeexpert.yaml").read_text(encoding="utf-8")
    cluster.apply([yaml.safe_load(text)])
    print(stages(follow(cluster, until="Evaluated")), end="")


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
