"""A CodeExpert survives the way to the API server and back, and what others wrote into it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.documents import (
    InvalidSpec,
    SeenExpert,
    read_expert,
    read_status,
    see_expert,
    write_status,
)

from nanodex.api.stages import Task
from nanodex.api.status import (
    AdapterStatus,
    ArtifactRef,
    CodeExpertStatus,
    Condition,
    ConditionType,
    SourceStatus,
    StageState,
    StageStatus,
)

KEY = "a" * 64
DIGEST = f"sha256:{KEY}"
SPEC: dict[str, Any] = {
    "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
    "baseModel": {"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct"},
}


def seen(spec: Any = None, status: Any = None) -> SeenExpert:
    return see_expert(
        {
            "apiVersion": "nanodex.dev/v1alpha1",
            "kind": "CodeExpert",
            "metadata": {
                "name": "payments",
                "namespace": "team-a",
                "uid": "u1",
                "generation": 3,
                "resourceVersion": "17",
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": SPEC if spec is None else spec,
            "status": status,
        }
    )


def test_what_the_api_server_adds_to_the_metadata_is_left_out() -> None:
    expert = read_expert(seen())

    assert expert.model_name == "team-a/payments"
    assert expert.metadata.annotations == {}


def test_a_namespace_may_have_as_long_a_name_as_kubernetes_allows() -> None:
    thing = {
        "metadata": {
            "name": "payments",
            "namespace": "n" * 63,
            "uid": "u1",
            "resourceVersion": "1",
        },
        "spec": SPEC,
    }

    assert read_expert(see_expert(thing)).metadata.namespace == "n" * 63


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (SPEC | {"fromTheFuture": 1}, "spec.fromTheFuture: Extra inputs are not permitted"),
        (SPEC | {"training": {"lora": {"r": 7}}}, "spec.training.lora.r"),
        ({"baseModel": SPEC["baseModel"]}, "spec.source: Field required"),
        ("not even an object", "spec: Input should be an object"),
    ],
)
def test_a_spec_that_this_version_does_not_understand_is_named(spec: Any, named: str) -> None:
    with pytest.raises(InvalidSpec, match=named):
        read_expert(seen(spec))


def test_what_another_version_wrote_into_the_status_does_not_cost_the_active_adapter() -> None:
    status = {
        "active": {"digest": DIGEST, "fromTheFuture": True},
        "stages": [
            {"name": "extract", "key": "not a key", "state": "Succeeded"},
            {"name": "train", "state": "Dreaming", "key": KEY},
            {"name": "fly", "state": "Succeeded"},
        ],
        "conditions": [{"type": "Ready"}],
        "phase": 7,
        "mood": "fine",
    }

    read = read_status(seen(status=status))

    assert read.active == AdapterStatus(digest=DIGEST)
    assert [(entry.name, entry.state) for entry in read.stages] == [
        (Task.EXTRACT, StageState.SUCCEEDED),
        (Task.TRAIN, StageState.WAITING),
    ]
    assert (read.conditions, read.phase) == ((), "")


@pytest.mark.parametrize("status", [None, {}, {"stages": "none"}, {"active": 1, "history": {}}])
def test_a_status_without_anything_to_read_is_an_empty_one(status: Any) -> None:
    assert read_status(seen(status=status)) == CodeExpertStatus()


odd = st.sampled_from([None, True, 7, -1.5, "", "x", [], {}, ["a"], [{}], {"digest": [None]}])


@given(
    status=st.dictionaries(
        st.sampled_from([field.alias or "" for field in CodeExpertStatus.model_fields.values()]),
        odd | st.lists(st.dictionaries(st.sampled_from(["name", "key", "digest"]), odd)),
    )
)
def test_any_status_can_be_read(status: Any) -> None:
    read_status(seen(status=status))


def test_a_status_is_written_without_what_is_empty() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    status = CodeExpertStatus(
        observed_generation=3,
        source=SourceStatus(commit="c" * 40),
        stages=(
            StageStatus(name=Task.EXTRACT),
            StageStatus(
                name=Task.TRAIN,
                key=KEY,
                artifact=ArtifactRef(digest=DIGEST),
                metrics={"loss": "0.5"},
            ),
        ),
        conditions=(
            Condition(
                type=ConditionType.READY, status="False", reason="Waiting", last_transition_time=now
            ),
        ),
    )

    assert write_status(status) == {
        "observedGeneration": 3,
        "source": {"commit": "c" * 40},
        "stages": [
            {"name": "extract", "state": "Waiting"},
            {
                "name": "train",
                "key": KEY,
                "state": "Waiting",
                "artifact": {"digest": DIGEST},
                "metrics": {"loss": "0.5"},
            },
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Waiting",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }


statuses = st.builds(
    CodeExpertStatus,
    observed_generation=st.integers(0, 5),
    phase=st.sampled_from(["", "Ready"]),
    stages=st.lists(
        st.builds(
            StageStatus,
            name=st.sampled_from(Task),
            key=st.sampled_from(["", KEY]),
            state=st.sampled_from(StageState),
            attempts=st.integers(0, 3),
            artifact=st.none() | st.builds(ArtifactRef, digest=st.sampled_from(["", DIGEST])),
            started_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        ),
        max_size=6,
    ).map(tuple),
    active=st.none()
    | st.builds(AdapterStatus, digest=st.sampled_from(["", DIGEST]), passed=st.booleans()),
)


@given(status=statuses)
def test_a_status_comes_back_as_it_was_written(status: CodeExpertStatus) -> None:
    written = json.loads(json.dumps(write_status(status)))

    assert read_status(seen(status=written)) == status
