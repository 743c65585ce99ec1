"""From apply to Ready, and what an edit or a new commit repeats."""

from typing import Any

from nanodex.api.status import ConditionType, StageState


def created(world: Any) -> list[str]:
    return [job.task.value for job in world.created]


def test_one_stage_after_the_other_gets_its_job(world: Any) -> None:
    world.become_ready()
    assert created(world) == ["resolve", "extract", "brain", "dataset", "train", "evaluate"]
    assert world.condition(ConditionType.READY).status == "True"
    assert world.status.phase == "Ready"
    assert world.status.serving.loaded == "1/1"
    assert {entry.state for entry in world.status.stages} == {StageState.SUCCEEDED}
