"""A row that holds a shared prefix once."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from nanodex.trainer.data_loader import TokenizedExample
from nanodex.trainer.packing import IGNORED, PackedBatch, pack, shared_prefix


def example(*tokens: int, prompt: int) -> TokenizedExample:
    return TokenizedExample(tokens=tokens, prompt_length=prompt)


FIRST = example(7, 8, 1, 2, 3, prompt=4)
SECOND = example(7, 8, 4, 5, prompt=3)


def test_the_prefix_is_what_all_examples_start_with() -> None:
    assert shared_prefix([FIRST, SECOND]) == 2
    assert shared_prefix([]) == 0


def test_the_prefix_never_reaches_the_token_that_predicts_an_answer() -> None:
    same = [example(7, 8, 9, 1, prompt=3), example(7, 8, 9, 2, prompt=3)]
    assert shared_prefix(same) == 2


def test_the_row_holds_the_prefix_once_and_positions_restart_after_it() -> None:
    batch = pack([FIRST, SECOND], prefix=2)
    assert batch.input_ids.tolist() == [[7, 8, 1, 2, 3, 4, 5]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 2, 3]]


def test_only_answers_are_learned() -> None:
    batch = pack([FIRST, SECOND], prefix=2)
    assert batch.labels.tolist() == [[IGNORED] * 4 + [3, IGNORED, 5]]


def seen(batch: PackedBatch) -> list[set[int]]:
    """Return for each token of the row which places of it are seen."""
    segments, width = batch.queries.shape
    keys = batch.keys[:, None].expand(-1, width, -1).reshape(segments * width, -1)
    mask = batch.mask[:, 0].reshape(segments * width, -1)
    return [set(keys[place][mask[place]].tolist()) for place in batch.places.tolist()]


def test_an_example_sees_the_prefix_and_itself_and_nothing_after() -> None:
    assert seen(pack([FIRST, SECOND], prefix=2)) == [
        {0},
        {0, 1},
        {0, 1, 2},
        {0, 1, 2, 3},
        {0, 1, 2, 3, 4},
        {0, 1, 5},
        {0, 1, 5, 6},
    ]


@given(
    prefix=st.integers(0, 5),
    rests=st.lists(st.lists(st.integers(10, 99), min_size=2, max_size=40), min_size=1, max_size=9),
)
def test_a_row_holds_every_token_of_every_example_where_it_is_looked_for(
    prefix: int, rests: list[list[int]]
) -> None:
    shared = list(range(prefix))
    examples = [example(*shared, *rest, prompt=prefix + 1) for rest in rests]
    batch = pack(examples, prefix=prefix)
    assert batch.input_ids.tolist() == [[*shared, *(token for rest in rests for token in rest)]]
    learned = [label for label in batch.labels[0].tolist() if label != IGNORED]
    assert learned == [token for rest in rests for token in rest[1:]]
    row = list(range(batch.input_ids.shape[1]))
    assert batch.queries.flatten()[batch.places].tolist() == row
    assert all(place in places for place, places in zip(row, seen(batch), strict=True))
    # What sees nothing would become NaN.
    assert bool(batch.mask.any(dim=-1).all())
    assert {batch.input_ids.dtype, batch.places.dtype} == {torch.int64}
