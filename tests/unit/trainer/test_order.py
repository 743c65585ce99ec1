"""The order in which examples are trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.trainer.data_loader import training_order


@given(examples=st.integers(1, 50), epochs=st.integers(1, 5), seed=st.integers(0, 2**31 - 1))
def test_each_epoch_holds_each_example_once(examples: int, epochs: int, seed: int) -> None:
    order = training_order(examples, epochs=epochs, seed=seed)
    for epoch in range(epochs):
        assert sorted(order[epoch * examples : (epoch + 1) * examples]) == list(range(examples))


def test_the_same_seed_gives_the_same_order_and_epochs_differ() -> None:
    order = training_order(40, epochs=2, seed=17)
    assert order == training_order(40, epochs=2, seed=17)
    assert order != training_order(40, epochs=2, seed=18)
    assert order[:40] != order[40:]


def test_nothing_to_learn_is_the_users_to_know() -> None:
    with pytest.raises(UserError) as caught:
        training_order(0, epochs=1, seed=0)
    assert caught.value.reason is Reason.NOTHING_TO_LEARN
