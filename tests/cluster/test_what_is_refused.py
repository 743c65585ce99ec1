"""What a cluster or nanodex refuses: a training too long, a quota used up, a hostile repository."""

import time
from pathlib import Path

import pytest

from hack.kind.world.repository import bundle, commit, git
from tests.cluster.faults import Faults
from tests.cluster.product import Product, conditions
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
# Of every Pod here; no log, status or artifact may show it.
_MARKER = "root:x:0:0"


def test_a_training_that_takes_too_long_is_ended_and_says_so(
    served: Product, faults: Faults
) -> None:
    # Longer than a minute with these; its clock begins once it runs.
    long = {"epochs": 60, "seed": 3, "activeDeadline": "1m"}
    served.want("endless", namespace=OTHER_TEAM, spec={"training": long})
    try:
        served.until(
            lambda: served.stage(OTHER_TEAM, "train", "endless").get("state") == "Running",
            seconds=600,
        )
        begin = time.time()
        why = served.until(lambda: served.stalled(OTHER_TEAM, "endless"), seconds=300)
        assert why["reason"] == "DeadlineExceeded"
        assert "activeDeadline" in why["message"]
        took = time.time() - begin
        assert took >= 55
        faults.add("deadline of a training", seconds=took, lost="the training, as wanted")
    finally:
        served.drop("endless", namespace=OTHER_TEAM)


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
        why = served.until(lambda: served.stalled(OTHER_TEAM, "waiting"), seconds=120)
        assert why["reason"] == "JobRefused"
        assert "exceeded quota: no-jobs" in why["message"]
    finally:
        served.api.delete("v1/resourcequotas", "no-jobs", namespace=OTHER_TEAM)
    begin = time.time()

    def resolved() -> bool:
        found = conditions(served.status(OTHER_TEAM, "waiting"))
        return found.get("SourceResolved") == "True"

    try:
        served.until(resolved, seconds=300)
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
