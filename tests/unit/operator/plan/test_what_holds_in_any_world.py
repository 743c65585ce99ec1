"""The invariants of the design, over random orders of what can happen.

The world itself asserts them on every write: one Job at work for each stage, nothing created while
the expert is deleted or suspended, nothing created again that failed for good, no older generation
over a newer one, the active adapter replaced only by one that every ready replica holds, times of
transition that change with the status alone. Here things happen to it: events get lost, caches lag,
the operator dies between two writes, clocks jump, people edit.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from nanodex_operator.plan import plan
from nanodex_operator.snapshot import JobOutcome, PodState

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.status import ConditionType

AT_WORK = (JobOutcome.ACTIVE, JobOutcome.SUSPENDED)
World = Any
Step = Callable[[World, int], None]


def on_job(act: Callable[[World, Any, int], None]) -> Step:
    """Return a step on a Job that is at work, if there is one."""

    def step(world: World, number: int) -> None:
        jobs = [job for job in world.jobs.values() if job.outcome in AT_WORK and not job.deleting]
        if jobs:
            act(world, jobs[number % len(jobs)], number)

    return step


def build(*, retry_nonce: str, pinned: Any, **_: Any) -> dict[str, Any]:
    return {"retryNonce": retry_nonce, "pinned": pinned}


def look(world: World, _: int) -> None:
    world.reconcile()


def look_late(world: World, number: int) -> None:
    world.reconcile(objects_ago=number % 3, jobs_ago=number)


def die_between_writes(world: World, number: int) -> None:
    snapshot = world.observe()
    world.apply(plan(snapshot, build=build), snapshot, crash_after=number % 3)


def fail(world: World, job: Any, number: int) -> None:
    code, reason = [
        (ExitCode.INVALID_INPUT, Reason.INVALID_INPUT),
        (ExitCode.GIT_UNAVAILABLE, Reason.GIT_UNAVAILABLE),
        (ExitCode.BELOW_THRESHOLD, Reason.BELOW_THRESHOLD),
        (ExitCode.BUG, None),
    ][number % 4]
    world.fail(job.task, code=code, reason=reason)


def run_out_of_memory(world: World, job: Any, _: int) -> None:
    world.pod(job.task, PodState.OOM_KILLED, finished_at=world.now, exit_code=137)


def lose_pods(world: World, _: int) -> None:
    for job in list(world.jobs.values()):
        if job.outcome not in AT_WORK:
            world.change(job, pods=())


def collect(world: World, _: int) -> None:
    for job in list(world.jobs.values()):
        if job.deleting:
            del world.jobs[job.name]


def expire(world: World, _: int) -> None:
    for job in list(world.jobs.values()):
        if job.outcome not in AT_WORK:
            del world.jobs[job.name]


def take_by_hand(world: World, job: Any, _: int) -> None:
    del world.jobs[job.name]


def hold_back(world: World, job: Any, number: int) -> None:
    state = [PodState.UNSCHEDULABLE, PodState.IMAGE_PULL_ERROR, PodState.PENDING][number % 3]
    world.pod(job.task, state)


def jump(world: World, number: int) -> None:
    world.tick([1, 60, 3600, 200_000, -3600, -10, 11, 700][number % 8])


def edit(world: World, number: int) -> None:
    known = [world.status.active, world.status.candidate, *world.status.history]
    digests = [one.digest for one in known if one is not None]
    world.edit(
        **[
            {"training__epochs": 3 + number % 2},
            {"dataset__seed": 17 + number % 3},
            {"source__git__ref": {"branch": f"b{number % 2}"}},
            {"source__git__interval": "1h"},
            {"retryNonce": str(number % 3)},
            {"suspend": not world.expert.spec.suspend},
            {"serving__enabled": not world.expert.spec.serving.enabled},
            {"serving__pin": digests[number % len(digests)] if digests else "nothing"},
            {"serving__pin": ""},
            {"evaluation__promotion": ["Automatic", "Manual"][number % 2]},
            {"artifacts__historyLimit": 1 + number % 3},
        ][number % 11]
    )


def retry(world: World, number: int) -> None:
    world.edit(retryNonce=str(number), suspend=False)


def commit(world: World, number: int) -> None:
    world.commit = "abcdef"[number % 6] * 40


def upgrade(world: World, number: int) -> None:
    images = {"trainer_image": f"registry/trainer@sha256:{number % 2}"}
    world.settings = world.settings.model_copy(update=images)


def judge(world: World, number: int) -> None:
    world.metrics["evaluate"] = {"passed": bool(number % 2), "score": 0.5}


def lose_artifacts(world: World, number: int) -> None:
    keys = sorted(world.artifacts)
    if keys:
        del world.artifacts[keys[number % len(keys)]]


def scale(world: World, number: int) -> None:
    world.servers["qwen"].ready = number % 4


def converge(world: World, number: int) -> None:
    server = world.servers["qwen"]
    wanted = world.wanted("qwen")
    server.take(wanted)
    server.sync(number if number % 2 else None)


def refuse(world: World, number: int) -> None:
    server = world.servers["qwen"]
    server.refuses = {
        digest: ("DigestMismatch", "x") for digest in server.desired.digests[number % 2 :]
    }


def put_out(world: World, number: int) -> None:
    world.servers["qwen"].admits = number % 3 != 0


def delete(world: World, number: int) -> None:
    if number == 11:
        world.delete()


STEPS: tuple[Step, ...] = (
    look,
    look,
    look_late,
    look_late,
    die_between_writes,
    on_job(lambda world, job, _: world.start(job.task)),
    on_job(lambda world, job, _: world.succeed(job.task)),
    on_job(lambda world, job, _: world.succeed(job.task)),
    on_job(lambda world, job, _: world.succeed(job.task)),
    on_job(lambda world, job, _: world.succeed(job.task)),
    on_job(lambda world, job, _: world.succeed(job.task, publish=False)),
    on_job(fail),
    on_job(run_out_of_memory),
    on_job(take_by_hand),
    on_job(hold_back),
    lose_pods,
    collect,
    expire,
    jump,
    edit,
    edit,
    retry,
    retry,
    commit,
    upgrade,
    judge,
    lose_artifacts,
    scale,
    converge,
    converge,
    refuse,
    put_out,
    delete,
)
HISTORIES = st.lists(
    st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 11)), min_size=1, max_size=40
)
STARTS = st.sampled_from(["new", "training", "served"])


def lived(make_world: Any, start: str, history: list[tuple[int, int]]) -> Any:
    """Return a world after `history`."""
    world = make_world()
    if start == "training":
        world.run("resolve", "extract", "brain", "dataset")
    elif start == "served":
        world.become_ready()
    for which, number in history:
        STEPS[which](world, number)
        world.reconcile(jobs_ago=number % 2)
    return world


@given(STARTS, HISTORIES)
@settings(derandomize=True, max_examples=60)
def test_it_always_comes_to_rest(
    make_world: Any, start: str, history: list[tuple[int, int]]
) -> None:
    world = lived(make_world, start, history)
    world.settle()
    decided = world.reconcile()
    assert (decided.actions, decided.events, decided.status) == ((), (), world.status)


@given(STARTS, HISTORIES)
@settings(derandomize=True, max_examples=60)
@example("training", [])
def test_nothing_that_happened_keeps_it_from_getting_ready_in_the_end(
    make_world: Any, start: str, history: list[tuple[int, int]]
) -> None:
    world = lived(make_world, start, history)
    if world.stored.deleting:
        return
    help_out(world)
    for _ in range(30):
        world.settle()
        jobs = [job for job in world.jobs.values() if job.outcome in AT_WORK]
        if not jobs and world.condition(ConditionType.RECONCILING) is None:
            break
        for job in jobs:
            world.start(job.task)
            world.succeed(job.task)
        world.tick(61)
        world.serve()
    world.settle()
    assert world.condition(ConditionType.READY).status == "True", world.status
    assert world.condition(ConditionType.STALLED) is None
    assert world.condition(ConditionType.RECONCILING) is None
    assert world.status.source.commit == world.status.active.commit
    assert world.status.phase == "Ready"


def help_out(world: World) -> None:
    """Put right what a person or an administrator can put right."""
    world.metrics["evaluate"] = {"passed": True, "score": 0.7}
    # What was judged before is judged again.
    world.artifacts.clear()
    server = world.servers["qwen"]
    server.admits, server.ready, server.refuses = True, 2, {}
    world.edit(
        suspend=False,
        retryNonce="the end",
        evaluation__promotion="Automatic",
        evaluation__seed=99,
        serving__enabled=True,
        serving__pin="",
    )


@given(STARTS, HISTORIES)
@settings(derandomize=True, max_examples=30)
def test_while_it_is_deleted_nothing_is_done_and_nothing_is_written(
    make_world: Any, start: str, history: list[tuple[int, int]]
) -> None:
    world = lived(make_world, start, history[: len(history) // 2])
    world.delete()
    for which, number in history[len(history) // 2 :]:
        STEPS[which](world, number)
        decided = world.reconcile(jobs_ago=number % 3)
        assert decided.actions == ()
        assert decided.events == ()
        assert decided.status == world.status
