"""Faults of a cluster, each while somebody asks: the right state at the end, and what it cost."""

import time
from pathlib import Path

import pytest

from hack.kind.demo.objects import SYSTEM, TEAM
from hack.kind.world.repository import bundle_of_sample
from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, SERVER, Product
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]
# Every process of the container but its first, which no signal from inside can kill.
_KILL_WORKERS = """\
import os, signal
for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
    if pid not in (1, os.getpid()):
        os.kill(pid, signal.SIGKILL)
"""


def _pause(served: Product) -> float:
    """Wait for an answer, so that what fails later has one reason; returns when."""
    begin = time.time()
    served.until(lambda: _answered(served, since=begin), seconds=300)
    return time.time()


def _answered(served: Product, *, since: float) -> bool:
    return any(one["status"] == 200 for one in served.traffic(since=since))


def test_a_set_that_is_edited_by_hand_is_put_right(served: Product, faults: Faults) -> None:
    begin = _pause(served)
    name = f"ms-{SERVER}"
    before = served.api.get("v1/configmaps", name, namespace=SYSTEM)["data"]
    served.api.patch("v1/configmaps", name, {"data": {"set.json": "{}"}}, namespace=SYSTEM)

    def put_right() -> bool:
        now = served.api.get("v1/configmaps", name, namespace=SYSTEM)["data"]["set.json"]
        return f"{TEAM}/parcelry" in now

    served.until(put_right, seconds=120)
    seconds = time.time() - begin
    assert before
    time.sleep(10)
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("ConfigMap edited by hand", seconds=seconds, seen=seen)


def test_a_release_that_goes_and_comes_back_takes_over_what_is_there(
    served: Product, faults: Faults
) -> None:
    begin = _pause(served)
    pod = served.engine_pod()["metadata"]["uid"]
    jobs = {one["metadata"]["uid"] for one in served.api.find_all("batch/v1/jobs", namespace=TEAM)}
    served.uninstall()
    time.sleep(5)
    assert served.status(TEAM)["active"]
    back = time.time()
    served.install()
    served.until(lambda: served.is_ready(TEAM), seconds=300)
    seconds = time.time() - back
    assert served.engine_pod()["metadata"]["uid"] == pod
    after = {one["metadata"]["uid"] for one in served.api.find_all("batch/v1/jobs", namespace=TEAM)}
    # It may look for a new commit, and trains nothing.
    new = after - jobs
    trained = [
        one["metadata"]["name"]
        for one in served.api.find_all("batch/v1/jobs", namespace=TEAM)
        if one["metadata"]["uid"] in new and "-resolve-" not in one["metadata"]["name"]
    ]
    assert not trained
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("helm uninstall and install", seconds=seconds, seen=seen)


def test_an_engine_that_is_killed_comes_back_with_its_adapters_and_who_asks_meanwhile_waits(
    served: Product, faults: Faults
) -> None:
    begin = _pause(served)
    pod = served.engine_pod()
    name = pod["metadata"]["name"]
    before = pod["status"]["containerStatuses"][0]["restartCount"]
    kill = ("exec", name, "--container=engine", "--", "python3", "-c", _KILL_WORKERS)
    served.kubectl.run(*kill, namespace=SYSTEM, check=False)
    away = time.time()
    served.until(lambda: _answered(served, since=away), seconds=600)
    seconds = time.time() - begin
    after = served.engine_pod()
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    [engine] = after["status"]["containerStatuses"]
    assert engine["restartCount"] > before
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("vLLM killed in place, one replica", seconds=seconds, seen=seen)
    served.until(lambda: served.is_ready(TEAM), seconds=300)
    assert served.status(TEAM)["serving"]["loaded"] == "1/1"


def test_a_roll_out_by_hand_costs_no_answer(served: Product, faults: Faults) -> None:
    begin = _pause(served)
    before = served.engine_pod()["metadata"]["uid"]
    deployment = f"deployment/ms-{SERVER}"
    served.kubectl.run("rollout", "restart", deployment, namespace=SYSTEM)
    served.kubectl.run("rollout", "status", deployment, "--timeout=600s", namespace=SYSTEM)
    served.until(lambda: len(served.engine_pods()) == 1, seconds=300)
    assert served.engine_pod()["metadata"]["uid"] != before
    seconds = time.time() - begin
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("vLLM rolled out by hand", seconds=seconds, seen=seen)


def test_a_new_commit_takes_over_whatever_happens_to_its_training(
    served: Product, faults: Faults, tmp_path: Path
) -> None:
    begin = _pause(served)
    old = served.status(TEAM)["active"]["digest"]
    # One training at a time: two cores have no room for another.
    served.api.patch(EXPERTS, "parcelry", {"spec": {"suspend": True}}, namespace=OTHER_TEAM)
    often = {"spec": {"source": {"git": {"interval": "30s"}}}}
    served.api.patch(EXPERTS, "parcelry", often, namespace=TEAM)
    # A commit that a cluster which is there already has not seen.
    divisor = ("kDivisorAir = 6000", f"kDivisorAir = {5000 + int(begin) % 1000}")
    served.push(bundle_of_sample(tmp_path, changes={"native/volumetric.hpp": divisor}))

    def steps() -> int:
        entry = served.stage(TEAM, "train")
        running = entry.get("state") == "Running" and entry["job"] != first
        return int(entry.get("progress", {}).get("percent", 0)) if running else 0

    first = served.stage(TEAM, "train")["job"]
    percent = served.until(lambda: steps() or None, seconds=900)
    job = served.stage(TEAM, "train")["job"]

    killed = time.time()
    served.kill_operator()
    served.until(lambda: steps() > percent, seconds=600)
    assert served.stage(TEAM, "train")["job"] == job
    faults.cost_no_answer(
        "operator killed while training ran",
        seconds=time.time() - killed,
        lost="none: the same Job",
        seen=served.all_answers(since=killed),
    )

    deleted = time.time()
    percent = served.until(lambda: steps() or None, seconds=60)
    labels = f"batch.kubernetes.io/job-name={job}"
    [pod] = served.api.find_all("v1/pods", namespace=TEAM, labels=labels)
    served.api.delete("v1/pods", pod["metadata"]["name"], namespace=TEAM)
    served.until(lambda: served.stage(TEAM, "train").get("state") == "Succeeded", seconds=1500)
    entry = served.stage(TEAM, "train")
    resumed, all_steps = int(entry["metrics"]["resumedAt"]), int(entry["metrics"]["steps"])
    assert resumed > 0, entry
    assert entry["job"] == job
    at = round(percent * all_steps / 100)
    faults.add(
        "training Pod deleted",
        seconds=time.time() - deleted,
        lost=f"{max(0, at - resumed)} of {all_steps} steps",
        seen=served.all_answers(since=deleted),
    )

    def taken_over() -> bool:
        return served.is_ready(TEAM) and served.status(TEAM)["active"]["digest"] != old

    served.until(taken_over, seconds=1500)
    new = served.status(TEAM)["active"]["digest"]

    def digests() -> list[str]:
        return [one["digest"] for one in served.traffic(since=begin) if one["status"] == 200]

    # What is wanted is mounted seconds later.
    served.until(lambda: new in digests(), seconds=60)
    _pause(served)
    spoken = digests()
    assert (spoken[0], spoken[-1]) == (old, new)
    assert spoken == sorted(spoken, key=[old, new].index), "an answer of the old after the new"
    seconds = time.time() - begin
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("a new commit takes over", seconds=seconds, seen=seen)
