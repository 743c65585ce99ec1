"""Which version `promote` and `rollback` choose."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.kubectl.conftest import NEW, OLD, OLDER, StandIn, adapter

Run = Callable[..., Result]
Make = Callable[..., Any]


def spec(*, promotion: str = "Automatic", pin: str = "") -> dict[str, Any]:
    return {"evaluation": {"promotion": promotion}, "serving": {"pin": pin}}


def test_promote_pins_what_waits_for_a_person(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(spec=spec(promotion="Manual"), candidate=adapter(NEW)))

    result = plugin("promote", "payments")

    assert result.exit_code == 0, result.output
    assert kubectl.patch == {"spec": {"serving": {"pin": NEW}}, "metadata": {"uid": "uid-1"}}
    assert "aaaaaaaaaaaa when every ready replica holds it" in " ".join(result.stdout.split())


def test_promote_lifts_the_pin_where_promotion_is_automatic(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    held = make_expert(spec=spec(pin=OLD), active=adapter(OLD), candidate=adapter(NEW))
    kubectl.answer(held)

    assert plugin("promote", "payments").exit_code == 0

    assert kubectl.patch["spec"] == {"serving": {"pin": ""}}


@pytest.mark.parametrize(
    ("spec_", "status", "says"),
    [
        (spec(), {}, "no adapter that waits"),
        (spec(), {"candidate": adapter(NEW)}, "on its way already"),
        (spec(promotion="Manual", pin=NEW[7:]), {"candidate": adapter(NEW)}, "on its way already"),
    ],
)
def test_promote_changes_nothing_where_there_is_nothing_to_promote(
    kubectl: StandIn, plugin: Run, make_expert: Make, spec_: Any, status: Any, says: str
) -> None:
    kubectl.answer(make_expert(spec=spec_, **status))

    result = plugin("promote", "payments")

    assert result.exit_code == 10
    assert says in " ".join(result.stderr.split())
    assert len(kubectl.asked) == 1


def test_rollback_pins_what_answered_before(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(active=adapter(NEW), history=[adapter(OLD), adapter(OLDER)]))

    result = plugin("rollback", "team-a/payments")

    assert kubectl.patch["spec"] == {"serving": {"pin": OLD}}
    assert "stays until promote" in " ".join(result.stdout.split())


def test_rollback_goes_to_a_version_by_its_first_digits(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(active=adapter(NEW), history=[adapter(OLD), adapter(OLDER)]))

    assert plugin("rollback", "payments", "--to", OLDER[7:15], "-o", "json").exit_code == 0

    assert kubectl.patch["spec"] == {"serving": {"pin": OLDER}}


@pytest.mark.parametrize(
    ("history", "words", "says"),
    [
        ([], (), "no earlier adapters"),
        ([adapter(OLD)], ("--to", "ffff"), "no earlier adapters ffff"),
        ([adapter(OLD)], ("--to", "bb"), "no digest"),
        ([adapter(OLD)], ("--to", "$(id)"), "no digest"),
        ([adapter(OLD), adapter(OLD[:-1] + "0")], ("--to", "bbbb"), "2 earlier adapters"),
        # An adapter of another base model cannot be served.
        ([adapter(OLD, baseModel="hf://a/b")], (), "no earlier adapters"),
    ],
)
def test_rollback_refuses_what_is_not_one_earlier_version(
    kubectl: StandIn, plugin: Run, make_expert: Make, history: Any, words: Any, says: str
) -> None:
    kubectl.answer(make_expert(active=adapter(NEW), history=history))

    result = plugin("rollback", "payments", *words)

    assert result.exit_code == 10
    assert says in " ".join(result.stderr.split())
    assert len(kubectl.asked) == 1


def test_retry_changes_the_nonce_each_time(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert())
    assert plugin("retry", "payments").exit_code == 0
    first = kubectl.patch["spec"]["retryNonce"]
    (kubectl.folder / "asked").write_text("")

    assert plugin("retry", "payments").exit_code == 0

    assert kubectl.patch["spec"]["retryNonce"] not in ("", first)
