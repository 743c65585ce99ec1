"""The loss over answer tokens, in training and on held-out examples."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

from nanodex.trainer.attention import Segments
from nanodex.trainer.packing import IGNORED, PackedBatch

Tensors = dict[str, torch.Tensor]


def answer_loss(model: Any, batch: Tensors) -> tuple[torch.Tensor, int]:
    """Return the summed negative log-likelihood (nats) of the learned tokens, and their number.

    Args:
        model: a causal language model, wrapped or not, that attends within segments.
        batch: the fields of a PackedBatch.
    """
    targets = batch["labels"][0, 1:]
    positions = (targets != IGNORED).nonzero().squeeze(-1)
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["mask"],
        position_ids=batch["position_ids"],
        segments=Segments(**{field.name: batch[field.name] for field in fields(Segments)}),
        logits_to_keep=positions,
        use_cache=False,
    ).logits
    loss = torch.nn.functional.cross_entropy(logits[0].float(), targets[positions], reduction="sum")
    return loss, len(positions)


def as_tensors(batch: PackedBatch) -> Tensors:
    """Return the fields of `batch` by name, as the Trainer moves them to a device."""
    return dict(vars(batch))


class HeldOut:
    """Held-out loss during training: the best weights, and when to stop hoping for better ones."""

    def __init__(self, batches: Sequence[Tensors], *, patience: int) -> None:
        """Watch the loss on `batches`; give up after `patience` looks in vain, 0 is never."""
        self.batches = batches
        self.patience = patience
        self.best_loss: float | None = None
        self.best: Tensors = {}
        self.without_better = 0

    def look(self, model: Any) -> float:
        """Measure the loss (nats a token), remember the weights if they are the best so far."""
        training = model.training
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in self.batches:
                moved = {name: tensor.to(model.device) for name, tensor in batch.items()}
                loss, tokens = answer_loss(model, moved)
                total += loss.item()
                count += tokens
        model.train(training)
        mean = total / max(count, 1)
        if self.best_loss is None or mean < self.best_loss:
            self.best_loss, self.without_better = mean, 0
            self.best = {name: value.clone() for name, value in trained_weights(model).items()}
        else:
            self.without_better += 1
        return mean

    @property
    def hopeless(self) -> bool:
        """Whether training should stop."""
        return 0 < self.patience <= self.without_better


def trained_weights(model: Any) -> Tensors:
    """Return the tensors that training changes, by name, detached."""
    return {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def set_trained_weights(model: Any, weights: Tensors) -> None:
    """Overwrite the tensors that training changes."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)
