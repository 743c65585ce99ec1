"""Between the right adapter and the slightest damage lies the limit, or there is none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nanodex.api.desired import ServedExpert
from nanodex.api.model_server import Engine
from nanodex.errors import UserError
from nanodex.inference.adapter_files import check_adapter
from nanodex.inference.calibration import Calibration, calibration, with_damage
from tests.engine_stand_in import LINEAR

Make = Callable[..., Path]


def measured(right: float, damaged: float, base: float = 3.0) -> Calibration:
    return calibration(right=right, damaged=damaged, base=base, base_itself=0.0, dtype="float32")


@pytest.mark.parametrize(("right", "damaged"), [(0.0005, 0.14), (0.085, 0.15), (0.0, 0.14)])
def test_the_limit_lies_between_right_and_damaged_and_fits_into_a_model_server(
    right: float, damaged: float
) -> None:
    found = measured(right, damaged)

    assert right < float(found.parity_limit) < damaged
    assert found.clear_distance < found.base
    assert Engine(parity_limit=found.parity_limit).parity_limit == found.parity_limit


@pytest.mark.parametrize(
    ("right", "damaged", "base", "says"),
    [
        (0.2, 0.15, 3.0, "no limit lies between"),
        (0.10, 0.11, 3.0, "no limit lies between"),
        (float("nan"), 0.15, 3.0, "no limit lies between"),
        (0.09, 0.15, 0.2, "learned too little"),
        (1.5, 4.0, 30.0, "not to be trusted"),
    ],
)
def test_where_no_limit_can_tell_them_apart_none_is_given(
    right: float, damaged: float, base: float, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        measured(right, damaged, base)


def test_the_damaged_copy_can_be_loaded_and_has_a_smaller_alpha(
    make_adapter: Make, tmp_path: Path
) -> None:
    right = ServedExpert(
        name="team/a", digest=f"sha256:{1:064x}", folder=make_adapter("a", lora_alpha=32)
    )

    damaged = with_damage(right, folder=tmp_path / "damaged")

    assert damaged.folder is not None and damaged.digest != right.digest
    check_adapter(damaged.folder, linear=LINEAR, max_rank=32)
    config = json.loads((damaged.folder / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 30


def test_an_alpha_of_one_cannot_be_damaged_a_little(make_adapter: Make, tmp_path: Path) -> None:
    right = ServedExpert(
        name="team/a", digest=f"sha256:{1:064x}", folder=make_adapter("a", lora_alpha=1)
    )

    with pytest.raises(UserError, match="a little smaller"):
        with_damage(right, folder=tmp_path / "damaged")
