"""Which run of which stage is next: the walk over the stages, shared by observing and planning.

Both must walk the same way: what observing looks for in the store is what planning asks about.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Identity, Images, Pinned, identify
from nanodex.api.stages import StageName, Task
from nanodex.api.status import CodeExpertStatus, StageStatus

Lookup = Callable[[Identity], str | None]


@dataclass(frozen=True)
class Step:
    """A stage whose artifact is committed, and the artifact's digest."""

    identity: Identity
    digest: str


@dataclass(frozen=True)
class Walk:
    """How far the committed artifacts lead.

    Attributes:
        done: the stages that have their artifact, in order.
        next: the first stage without one; None where all have it.
    """

    done: tuple[Step, ...]
    next: Identity | None

    def step(self, stage: StageName) -> Step | None:
        """Return the step of `stage`, None if it is not done."""
        return next((step for step in self.done if step.identity.stage is stage), None)


def walk(expert: CodeExpert, *, pinned: Pinned, lookup: Lookup) -> Walk:
    """Go over the stages in order as far as `lookup` knows their artifacts.

    Args:
        expert: what the user wants.
        pinned: what its references mean.
        lookup: returns the digest of the artifact of a run, None if there is none.
    """
    done: list[Step] = []
    digests: dict[StageName, str] = {}
    for stage in StageName:
        identity = identify(expert, stage, pinned=pinned, upstream=digests)
        digest = lookup(identity)
        if digest is None:
            return Walk(done=tuple(done), next=identity)
        digests[stage] = digest
        done.append(Step(identity=identity, digest=digest))
    return Walk(done=tuple(done), next=None)


def pins_of(status: CodeExpertStatus) -> Pinned | None:
    """Return what the references mean by `status`; None before they were ever looked up."""
    if not (status.source.commit and status.base_model.revision):
        return None
    images = status.pinned.images
    return Pinned(
        commit=status.source.commit,
        base_model_revision=status.base_model.revision,
        images=Images(nanodex=images.nanodex, trainer=images.trainer),
    )


def remembered(status: CodeExpertStatus, *, retry_nonce: str) -> Mapping[str, str]:
    """Return the digest of each artifact that `status` knows, by key of the run.

    A new `retry_nonce` forgets them: whoever asks for a retry may have lost artifacts, so the
    store is asked again.
    """
    return {
        entry.key: entry.artifact.digest
        for entry in status.stages
        if entry.artifact is not None and entry.artifact.digest and entry.retry_nonce == retry_nonce
    }


def entry_of(status: CodeExpertStatus, task: Task) -> StageStatus | None:
    """Return what `status` says about `task`."""
    return next((entry for entry in status.stages if entry.name is task), None)


def job_name(expert: str, task: Task, *, key: str, retry_nonce: str) -> str:
    """Return the name of the Job of a run, at most 63 characters for a name of at most 40."""
    run = hashlib.sha256(f"{key}/{retry_nonce}".encode()).hexdigest()
    return f"ce-{expert}-{task}-{run[:10]}"
