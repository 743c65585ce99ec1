"""Puts a published adapter on a base model, from safetensors and JSON alone."""

from pathlib import Path
from typing import Any

from nanodex.api.reasons import Reason
from nanodex.errors import UserError


def load_adapter(model: Any, folder: Path) -> Any:
    """Return `model` with the adapter of `folder`, in evaluation mode.

    Raises:
        UserError: the folder has no adapter in safetensors, or it does not fit the model.
    """
    from peft import PeftModel

    # Without this file peft would fall back to a pickle.
    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(
            "the adapter has no adapter_model.safetensors",
            reason=Reason.INVALID_INPUT,
            hint="run the train stage again",
        )
    try:
        # In the type of the model; peft would make float32 of weights published in bfloat16.
        loaded: Any = PeftModel.from_pretrained(
            model, str(folder), is_trainable=False, autocast_adapter_dtype=False
        )
        return loaded.eval()
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise UserError(
            f"the adapter does not load: {type(error).__name__}",
            reason=Reason.INVALID_INPUT,
            hint="it must be trained on this base model",
        ) from error
