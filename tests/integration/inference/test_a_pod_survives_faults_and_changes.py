"""What is done to a ModelServer's Pod while it serves, and how it ends: a real vLLM.

The tests run in the order in which they stand here: the last ones kill agent and engine and end the
Pod, which is that of the session. Files of tests that want it, too, come before this one by name.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from nanodex.api.desired import ServedExpert
from nanodex.inference.placement import placed_folder
from tests.integration.inference.pod import KEY, Pod, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
OTHER_KEY = "nx-of-another-team-0"


@pytest.fixture(scope="module", autouse=True)
def _three_experts_are_served(pod: Pod, published: dict[str, ServedExpert]) -> Iterator[None]:
    # What test_a_pod_serves leaves: after it, nothing changes here.
    pod.want(3, *(published[what] for what in ("good", "other", "third")))
    until(lambda: pod.settled(3))
    yield
    # Whatever failed: the memory is for the next engine.
    pod.end()


def test_a_folder_that_vanishes_takes_nothing_down_and_comes_back_from_the_store(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    texts = {model: pod.text(model) for model in ("team/other", "team/third", "team/good")}
    vanished = placed_folder(pod.root / "adapters", published["good"])
    vanished.chmod(0o700)
    shutil.rmtree(vanished)

    # It is in the engine, goes to make room for two others, and is asked for again.
    for model in ("team/good", "team/other", "team/third", "team/good"):
        assert pod.text(model) == texts[model]

    assert vanished.is_dir()
    assert (pod.engine.starts, pod.status()["restarts"]) == (1, 0)


def test_while_the_store_is_away_the_engine_answers_and_what_is_new_comes_after(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    # For seconds, not for minutes: the agent counts no time of it. It asks again after pauses that
    # end at two minutes, and what is on the disk is not asked for at all.
    old, new = published["good"], published["later"].model_copy(update={"active": False})
    before = pod.text("team/good")
    store, away = pod.root / "store", pod.root / "store-is-away"
    store.rename(away)

    pod.want(4, old, new)
    until(lambda: pod.states().get(new.pinned_name, ("", ""))[1] != "")
    for _ in range(10):
        assert pod.text("team/good") == before
        assert pod.complete(new.pinned_name).status_code == 503
        time.sleep(0.5)
    assert pod.states()[new.pinned_name][0] == "pending"

    shutil.rmtree(store, ignore_errors=True)
    away.rename(store)
    seconds = until(lambda: pod.complete(new.pinned_name).status_code == 200)
    print(f"\nfrom the store's return to the new adapter's first answer: {seconds:.1f} s")
    assert pod.text("team/good") == before


def test_a_name_moves_under_a_steady_stream_without_a_failed_or_mixed_answer(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    old, new = published["good"], published["later"]
    pod.want(5, old)
    until(lambda: set(pod.states()) == {old.pinned_name})
    before = pod.text("team/good")
    stop = threading.Event()
    seen: list[tuple[int, str, str]] = []

    def stream() -> None:
        while not stop.is_set():
            answer = pod.complete("team/good")
            body = answer.json()
            spoken = body["choices"][0]["text"] if answer.status_code == 200 else str(body)
            seen.append((answer.status_code, body.get("model", ""), spoken))

    streams = [threading.Thread(target=stream) for _ in range(3)]
    for one in streams:
        one.start()
    until(lambda: len(seen) >= len(streams))
    pod.want(6, old, new.model_copy(update={"active": False}))
    until(lambda: pod.states().get(new.pinned_name, ("",))[0] == "loaded")
    pod.want(7, new)
    until(lambda: seen[-1][1] == new.pinned_name)
    until(lambda: set(pod.states()) == {new.pinned_name})
    time.sleep(2)
    stop.set()
    for one in streams:
        one.join()

    print(f"\n{len(seen)} answers while the name moved")
    assert {status for status, _, _ in seen} == {200}
    spoken = {model: {text for _, who, text in seen if who == model} for _, model, _ in seen}
    assert set(spoken) == {old.pinned_name, new.pinned_name}
    # Each version gives its one answer; the prefix cache of the old one is not the new one's.
    assert spoken[old.pinned_name] == {before}
    assert spoken[new.pinned_name] == {pod.text("team/good")} != {before}


def test_keys_are_exchanged_while_the_server_runs(pod: Pod) -> None:
    assert pod.complete("base", key=OTHER_KEY).status_code == 401

    pod.mount("keys", "ci", f"{KEY} *\n{OTHER_KEY} team/*\n")

    until(lambda: pod.complete("base", key=OTHER_KEY).status_code == 403, seconds=20)
    assert pod.complete("team/good", key=OTHER_KEY).status_code == 200


def test_an_agent_that_was_killed_finds_its_engine_again(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    before = pod.text("team/good")
    engine = pod.engine.process
    assert pod.agent.process is not None
    os.kill(pod.agent.process.pid, signal.SIGKILL)
    until(lambda: pod.agent.starts == 2)
    seconds = until(lambda: pod.healthy() and pod.complete("team/good").status_code == 200)
    print(f"\nfrom the end of the agent to its first answer: {seconds:.1f} s")

    assert pod.engine.process is engine
    assert pod.text("team/good") == before


def test_an_engine_that_was_killed_comes_back_with_nobodys_help_and_costs_no_answer(
    pod: Pod,
) -> None:
    before = pod.text("team/good")
    assert pod.engine.process is not None
    api = psutil.Process(pod.engine.process.pid)
    core = next(
        process
        for process in api.children(recursive=True)
        if "EngineCore" in process.name() or "EngineCore" in " ".join(process.cmdline())
    )
    with ThreadPoolExecutor() as clients:
        under_way = clients.submit(pod.complete, "team/good", max_tokens=300, ignore_eos=True)
        until(lambda: pod.under_way() > 0, seconds=30)
        core.kill()
        assert not under_way.done()
        # The API of a dead core answers for some seconds: some of these meet it.
        asked = []
        begin = time.monotonic()
        while pod.healthy() or len(asked) < 5:
            assert time.monotonic() - begin < 30
            asked.append(clients.submit(pod.complete, "team/good"))
            time.sleep(0.2)
        answers = [one.result().status_code for one in (under_way, *asked)]
        seconds = time.monotonic() - begin

    print(f"\nfrom the end of the engine to the last of {len(answers)} answers: {seconds:.0f} s")
    assert answers == [200] * len(answers)
    assert pod.engine.starts == 2
    assert pod.text("team/good") == before
    assert pod.status()["restarts"] == 1


def test_agent_and_engine_killed_at_once_come_back_from_the_disk_without_a_store(
    pod: Pod,
) -> None:
    before = pod.text("team/good")
    store, away = pod.root / "store", pod.root / "store-is-away"
    store.rename(away)
    containers = (pod.agent, pod.engine)
    starts = [container.starts for container in containers]
    for container in containers:
        assert container.process is not None
        os.kill(container.process.pid, signal.SIGKILL)
    until(lambda: [one.starts for one in containers] == [count + 1 for count in starts])

    seconds = until(lambda: pod.healthy() and pod.complete("team/good").status_code == 200)

    print(f"\nfrom the end of both to the first answer: {seconds:.0f} s")
    assert pod.text("team/good") == before
    # An agent that starts makes the folder of its store where there is none.
    shutil.rmtree(store, ignore_errors=True)
    away.rename(store)


def test_a_pod_that_ends_answers_what_is_under_way_first(pod: Pod) -> None:
    answers: list[int] = []
    asked = threading.Thread(
        target=lambda: answers.append(
            pod.complete("team/good", max_tokens=100, ignore_eos=True).status_code
        )
    )
    asked.start()
    time.sleep(0.5)
    hooks = [pod.hook(name) for name in ("agent", "engine")]
    until(lambda: not pod.healthy(), seconds=20)
    assert [hook.wait(150) for hook in hooks] == [0, 0]
    asked.join(10)

    assert answers == [200]
    assert pod.complete("team/good").status_code == 503
    print(f"\nthe engine ended in {pod.engine.end():.1f} s, the agent in {pod.agent.end():.1f} s")
    assert pod.agent.process is not None and pod.agent.process.returncode == 0
