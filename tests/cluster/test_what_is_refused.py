"""What a cluster or nanodex refuses, and what an expert says of it until it is given.

All these experts are applied at once: what each waits for is not the others' concern.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hack.kind.world.repository import bundle, commit, git
from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, Product, conditions
from tests.cluster.traffic import failed
from tests.cluster.world import OTHER_TEAM
from tests.controlplane.api import Object

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
# Of every Pod here; no log, status or artifact may show it.
_MARKER = "root:x:0:0"
_LABEL = "nanodex.dev/test-room"
_SECRET = "late-git"
_LITTLE = {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "600Mi"}}
_ENOUGH = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "6Gi"}}


def _training(*, seed: int, **training: object) -> Object:
    """Return a training of its own: nobody has trained with this seed before."""
    return {"training": {"seed": seed, **training}}


# Name, what differs in source.git, and what differs in the spec.
_EXPERTS: list[tuple[str, Object, Object]] = [
    ("late", {"secretRef": {"name": _SECRET}}, {}),
    ("no-room", {}, _training(seed=1, pod={"nodeSelector": {_LABEL: "yes"}, "resources": _ENOUGH})),
    ("too-small", {}, _training(seed=2, pod={"resources": _LITTLE})),
    # Longer than a minute with these; its clock begins once it runs.
    ("endless", {}, _training(seed=3, epochs=60, activeDeadline="1m")),
]


@pytest.fixture(scope="module")
def refused(served: Product) -> Iterator[Product]:
    """The product, with all experts that miss something."""
    try:
        for name, git_, spec in _EXPERTS:
            served.want(name, namespace=OTHER_TEAM, git=git_, spec=spec)
        yield served
    finally:
        for name, *_ in _EXPERTS:
            served.drop(name, namespace=OTHER_TEAM)


def _why_stalled(served: Product, name: str) -> dict[str, str]:
    """Wait until an expert says that nothing goes on; returns the condition that says why."""
    return served.until(lambda: served.stalled(OTHER_TEAM, name), seconds=600)


def _trained(served: Product, name: str) -> bool:
    return served.stage(OTHER_TEAM, "train", name).get("state") == "Succeeded"


def _resolved(served: Product, name: str) -> bool:
    return conditions(served.status(OTHER_TEAM, name)).get("SourceResolved") == "True"


def _retry(served: Product, name: str, *, because: str) -> None:
    served.api.patch(EXPERTS, name, {"spec": {"retryNonce": because}}, namespace=OTHER_TEAM)


def test_a_missing_secret_is_named_and_waited_for(refused: Product, faults: Faults) -> None:
    def failure() -> str:
        entry = refused.stage(OTHER_TEAM, "resolve", "late")
        return str(entry.get("failure", {}).get("reason", ""))

    begin = time.time()
    assert refused.until(lambda: failure() or None, seconds=180) == "AuthenticationFailed"
    made = time.time()
    refused.world.apply(refused.world.git_secret(_SECRET, namespace=OTHER_TEAM))
    _retry(refused, "late", because="the Secret is there")
    refused.until(lambda: _resolved(refused, "late"), seconds=180)
    faults.add("git Secret missing, then there", seconds=time.time() - made, lost="none")
    assert not failed(refused.all_answers(since=begin))


def test_a_training_that_no_node_takes_begins_once_one_does(
    refused: Product, faults: Faults
) -> None:
    node = refused.world.nodes.keeper
    why = _why_stalled(refused, "no-room")
    assert why["reason"] == "Unschedulable"
    assert "node" in why["message"]
    begin = time.time()
    refused.api.patch("v1/nodes", node, {"metadata": {"labels": {_LABEL: "yes"}}})
    try:
        refused.until(lambda: _trained(refused, "no-room"), seconds=600)
    finally:
        refused.api.patch("v1/nodes", node, {"metadata": {"labels": {_LABEL: None}}})
    assert refused.stage(OTHER_TEAM, "train", "no-room")["attempts"] == 1
    faults.add("no node for the training", seconds=time.time() - begin, lost="none")


def test_a_training_that_ran_out_of_memory_says_so_and_runs_again_with_more(
    refused: Product, faults: Faults
) -> None:
    why = _why_stalled(refused, "too-small")
    assert why["reason"] == "OOMKilled"
    assert "Raise the memory limit" in why["message"]
    assert "retryNonce" in why["message"]
    begin = time.time()
    more = _training(seed=2, pod={"resources": _ENOUGH})
    refused.want("too-small", namespace=OTHER_TEAM, spec=more)
    _retry(refused, "too-small", because="more memory")
    refused.until(lambda: _trained(refused, "too-small"), seconds=600)
    faults.add("trainer out of memory", seconds=time.time() - begin, lost="the attempt")


def test_a_training_that_takes_too_long_is_ended_and_says_so(
    refused: Product, faults: Faults
) -> None:
    why = _why_stalled(refused, "endless")
    assert why["reason"] == "DeadlineExceeded"
    assert "activeDeadline" in why["message"]
    entry = refused.stage(OTHER_TEAM, "train", "endless")
    began, ended = (datetime.fromisoformat(entry[at]) for at in ("startedAt", "finishedAt"))
    took = (ended - began).total_seconds()
    assert took >= 55
    faults.add("deadline of a training", seconds=took, lost="the training, as wanted")


def test_a_quota_is_waited_for(served: Product, faults: Faults) -> None:
    quota = {"metadata": {"name": "no-jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    served.api.create("v1/resourcequotas", quota, namespace=OTHER_TEAM)
    try:
        served.until(
            lambda: (
                served.api.get("v1/resourcequotas", "no-jobs", namespace=OTHER_TEAM)
                .get("status", {})
                .get("hard")
            ),
            seconds=60,
        )
        served.want("waiting", namespace=OTHER_TEAM)
        why = _why_stalled(served, "waiting")
        assert why["reason"] == "JobRefused"
        assert "exceeded quota: no-jobs" in why["message"]
    finally:
        served.api.delete("v1/resourcequotas", "no-jobs", namespace=OTHER_TEAM)
    begin = time.time()
    try:
        served.until(lambda: _resolved(served, "waiting"), seconds=300)
        faults.add("quota used up, then free", seconds=time.time() - begin, lost="none")
    finally:
        served.drop("waiting", namespace=OTHER_TEAM)


def test_a_repository_made_to_do_harm_is_learned_without_what_does_it(
    served: Product, tmp_path: Path, faults: Faults
) -> None:
    served.world.reseed({"poisoned": _poisoned(tmp_path / "poisoned")})
    begin = time.time()
    served.want(
        "poisoned",
        namespace=OTHER_TEAM,
        git={"url": served.world.repository("poisoned")},
        spec={"dataset": {"maxFacts": 1}},
    )
    try:
        served.until(
            lambda: served.stage(OTHER_TEAM, "extract", "poisoned").get("state") == "Succeeded",
            seconds=300,
        )
        metrics = served.stage(OTHER_TEAM, "extract", "poisoned")["metrics"]
        assert (metrics["parsed"], metrics["skipped"]) == ("1", "6"), metrics
        shown = ""
        # Of those that are over: the next stage's Pod may have nothing to say yet.
        for stage in ("resolve", "extract"):
            job = served.stage(OTHER_TEAM, stage, "poisoned")["job"]
            selector = f"--selector=batch.kubernetes.io/job-name={job}"
            said = served.kubectl.run("logs", selector, "--tail=-1", namespace=OTHER_TEAM)
            assert said
            shown += said
        for text in (shown, str(served.status(OTHER_TEAM, "poisoned"))):
            assert _MARKER not in text
            assert "pwned" not in text
        faults.add("poisoned repository", seconds=time.time() - begin, lost="its symlinks, names")
    finally:
        served.drop("poisoned", namespace=OTHER_TEAM)


def _poisoned(repository: Path) -> bytes:
    """Return a repository with what leads outside, runs when it is checked out, or breaks logs."""
    repository.mkdir()
    git("init", "--quiet", "--initial-branch=main", repository=repository)
    (repository / "rates.py").write_text('"""Rates."""\n\nDIVISOR = 6000\n', encoding="utf-8")
    (repository / "deep.py").write_text("x = " + "(" * 3000 + ")" * 3000, encoding="utf-8")
    (repository / "passwd.py").symlink_to("/etc/passwd")
    (repository / "token.py").symlink_to("/var/run/secrets/kubernetes.io/serviceaccount/token")
    (repository / "two\nlines.py").write_text("x = 1\n", encoding="utf-8")
    (repository / ".gitattributes").write_text("* filter=evil\n", encoding="utf-8")
    modules = '[submodule "m"]\n\tpath = m\n\turl = ext::sh -c "echo pwned"\n'
    (repository / ".gitmodules").write_text(modules, encoding="utf-8")
    commit(repository, "Do harm")
    return bundle(repository)
