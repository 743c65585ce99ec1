"""Every stage as the operator's Job with the real image, on a real node, from commit to adapter.

The operator is not part of this: what it would create is created here in its order. Small on
purpose: a few facts and steps; that a model learns is shown by tests/integration/training.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from nanodex_operator.manifests.jobs import build_job
from nanodex_operator.settings import Settings

from hack.kind.demo.objects import GIT_SECRET, STORE_SECRET
from hack.kind.world.manifests import task
from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned, identify
from nanodex.api.manifest import TerminationMessage
from nanodex.api.stages import StageName, Task
from tests.cluster.world import OTHER_TEAM, STAGES_TEAM, World

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
# Reads a manifest below each prefix and writes it again.
_LOOK = """\
import sys
from nanodex.artifacts import open_store
store = open_store(sys.argv[1])
for prefix in sys.argv[2:]:
    [name] = [one.name for one in store.entries(prefix) if one.name.endswith("/manifest.json")]
    store.write(name, store.read(name, limit=1 << 20))
"""


@dataclass
class Run:
    """One expert's way through the stages."""

    world: World
    expert: CodeExpert
    settings: Settings
    digests: dict[StageName, str] = field(default_factory=dict)
    pinned: Pinned | None = None
    pods: dict[Task, Any] = field(default_factory=dict)

    def run(self, task: Task, *, attempt: int = 1) -> TerminationMessage:
        """Run one task as a Job and return its last word."""
        key = "0" * 64
        if task is not Task.RESOLVE:
            assert self.pinned is not None
            stage = StageName(task)
            key = identify(self.expert, stage, pinned=self.pinned, upstream=self.digests).key
        name = f"ce-{self.expert.metadata.name}-{task.value}-{key[:10]}-{attempt}"
        job = build_job(
            expert=self.expert,
            uid="00000000-0000-0000-0000-000000000000",
            task=task,
            key=key,
            name=name,
            retry_nonce="",
            pinned=self.pinned,
            settings=self.settings,
        )
        # There is no such owner here, and a Job without its owner is collected.
        del job["metadata"]["ownerReferences"]
        self.world.apply(job)
        pod = self.world.wait_for_job(name, namespace=STAGES_TEAM, seconds=1500)
        self.pods[task] = pod
        [status] = pod["status"]["containerStatuses"]
        message = status["state"]["terminated"].get("message", "")
        assert message, f"{task} said nothing: {status}"
        return TerminationMessage.model_validate_json(message)


@pytest.fixture(scope="module")
def run(world: World) -> Run:
    world.tenant(STAGES_TEAM)
    spec = {
        "source": {"git": {"url": world.repository("parcelry"), "secretRef": {"name": GIT_SECRET}}},
        "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
        "dataset": {"maxFacts": 8, "formsPerFact": 4},
        "training": {
            "method": "lora",
            "epochs": 1,
            "batchSize": 8,
            "pod": {"resources": {"requests": {"cpu": "500m", "memory": "3Gi"}}},
        },
        "evaluation": {
            "arms": ["adapter"],
            "maxQuestions": 8,
            "maxNewTokens": 8,
            "minScore": "0.0",
            "mustBeatBase": False,
        },
    }
    return Run(
        world=world,
        expert=CodeExpert.model_validate(
            {"metadata": {"name": "parcelry", "namespace": STAGES_TEAM}, "spec": spec}
        ),
        settings=Settings(
            namespace="nanodex-system",
            store=world.store,
            store_endpoint=world.endpoint,
            nanodex_image=world.images["nanodex"],
            trainer_image=world.images["nanodex-trainer"],
        ),
    )


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_a_stage_runs_as_a_restricted_pod(run: Run, task: Task) -> None:
    said = run.run(task)
    assert said.exit_code == 0, said
    if task is Task.RESOLVE:
        run.pinned = Pinned(
            commit=str(said.metrics["commit"]),
            base_model_revision=str(said.metrics["baseModelRevision"]),
            images=Images(nanodex=run.settings.nanodex_image, trainer=run.settings.trainer_image),
        )
    else:
        assert said.digest.startswith("sha256:")
        run.digests[StageName(task)] = said.digest


def test_a_second_run_of_a_stage_finds_its_artifact(run: Run) -> None:
    said = run.run(Task.BRAIN, attempt=2)
    assert said.cached
    assert said.digest == run.digests[StageName.BRAIN]


def test_keys_of_another_team_neither_read_nor_write_what_was_made(run: Run) -> None:
    world = run.world
    if world.adopted:
        pytest.skip("the store of the demo knows no second team")
    world.tenant(OTHER_TEAM)
    made = [f"v1/{STAGES_TEAM}/{stage}/" for stage in ("extract", "train")]
    for number, (team, expected) in enumerate(((STAGES_TEAM, True), (OTHER_TEAM, False))):
        world.apply(
            task(
                f"look-{number}",
                namespace=team,
                image=world.images["nanodex"],
                command=("python", "-c", _LOOK, world.store, *made),
                env={"AWS_ENDPOINT_URL_S3": world.endpoint, "HOME": "/tmp"},
                secrets=(STORE_SECRET,),
            )
        )
        pod = world.wait_for_job(f"look-{number}", namespace=team, seconds=120)
        assert (pod["status"]["phase"] == "Succeeded") is expected, world.explain(team)
