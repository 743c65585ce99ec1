"""The gates: no fact without bytes, no prompt with two answers, no template that tells."""

from collections.abc import Iterator

import pytest

from nanodex.api.records import Example, ExampleMeta, Message, Predicate
from nanodex.dataset.facts import Claim, FactCollector
from nanodex.dataset.sites import raise_claims, usage_claims
from nanodex.dataset.validators import Prover, one_answer


@pytest.fixture(scope="module")
def claims(collector: FactCollector) -> list[Claim]:
    def found() -> Iterator[Claim]:
        for node in collector.subjects():
            yield from collector.claims(node)
            yield from raise_claims(collector.graph, node)
            yield from usage_claims(collector, node)

    return list(found())


def changed(claim: Claim, **update: object) -> Claim:
    return claim._replace(fact=claim.fact.model_copy(update=update))


def test_what_the_graph_says_of_the_shop_stands_in_its_bytes(
    collector: FactCollector, claims: list[Claim]
) -> None:
    prover = Prover(collector.graph, contents=collector.contents)
    assert [claim for claim in claims if not prover.proves(claim)] == []
    assert len({claim.family for claim in claims}) == 18


def test_a_false_object_is_not_proven(collector: FactCollector, claims: list[Claim]) -> None:
    prover = Prover(collector.graph, contents=collector.contents)
    # The object of a reference is named by the span in the other file, so these prove the subject.
    inverse = {"called_by", "tested_by", "kind"}
    believed = [
        claim
        for claim in claims
        if claim.family not in inverse and prover.proves(changed(claim, object="nonsense_99"))
    ]
    assert believed == []


def test_a_span_elsewhere_proves_nothing(collector: FactCollector, claims: list[Claim]) -> None:
    prover = Prover(collector.graph, contents=collector.contents)
    for claim in claims:
        far = claim.fact.span.model_copy(update={"start": 10**9, "end": 10**9 + 5})
        assert not prover.proves(changed(claim, span=far))


def test_a_fact_of_another_version_of_the_file_is_not_proven(
    collector: FactCollector, claims: list[Claim]
) -> None:
    prover = Prover(collector.graph, contents=collector.contents)
    assert not any(prover.proves(changed(claim, blob="0" * 64)) for claim in claims)


def example(prompt: str, answer: str) -> Example:
    return Example(
        messages=(
            Message(role="system", content="shop@1234567"),
            Message(role="user", content=prompt),
            Message(role="assistant", content=answer),
        ),
        meta=ExampleMeta(
            id="0",
            category="discovery",
            predicate=Predicate.CALLS,
            polarity="positive",
            facts=(),
            spans=(),
            template="t",
            genre="question",
            split="train",
        ),
    )


def test_a_prompt_with_two_answers_is_dropped_with_both() -> None:
    kept, dropped = one_answer(
        [example("Who?", "Ann."), example("who? ", "Bob."), example("When?", "Now.")]
    )
    assert [e.messages[-1].content for e in kept] == ["Now."]
    assert dropped == 2


def test_a_repeated_example_is_kept_once() -> None:
    kept, dropped = one_answer([example("Who?", "Ann."), example("Who?", "Ann.")])
    assert (len(kept), dropped) == (1, 1)
