"""The collector of cycles is left as it was found."""

import gc

import pytest

from nanodex.collector import collector_paused


def test_it_pauses_and_goes_on_even_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="in the block"), collector_paused():
        assert not gc.isenabled()
        raise ValueError("in the block")
    assert gc.isenabled()


def test_where_it_was_off_it_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
