"""TRL's SFTTrainer with our rows, our loss and checkpoints without pickles.

What is overridden, and why:

- compute_loss: logits only where a token is learned; with a vocabulary of 50,000 the rest is a
  third of the work of a small model.
- _send_telemetry: what runs in a cluster stays there.
- saving and loading: the Trainer writes pickles; a checkpoint goes to a shared store, so ours are
  safetensors and JSON (nanodex.trainer.checkpoints).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from nanodex.api.parameters import TrainingConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import UserError
from nanodex.models.precision import fastest_products, mixed_precision
from nanodex.trainer import checkpoints
from nanodex.trainer.data_loader import TokenizedExample
from nanodex.trainer.loss import (
    HeldOut,
    Tensors,
    answer_loss,
    as_tensors,
    set_trained_weights,
    trained_weights,
)
from nanodex.trainer.packing import pack


def collator(
    examples: Sequence[TokenizedExample], *, prefix: int
) -> Callable[[list[dict[str, int]]], Tensors]:
    """Return the function that makes a row of the examples that a batch names by index."""

    def collate(batch: list[dict[str, int]]) -> Tensors:
        chosen = [examples[item["example"]] for item in batch]
        return as_tensors(pack(chosen, prefix=prefix))

    return collate


def sft_config(
    config: TrainingConfig, *, scratch: Path, total_steps: int, accumulation: int
) -> SFTConfig:
    """Return the Trainer's arguments for `config`.

    Args:
        config: our parameters.
        scratch: folder that the Trainer may think it writes to.
        total_steps: optimizer steps of the whole run.
        accumulation: batches of one device behind one step.
    """
    gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(scratch),
        per_device_train_batch_size=min(config.micro_batch_size, config.batch_size),
        gradient_accumulation_steps=accumulation,
        num_train_epochs=1,  # The order of all epochs is laid out in the dataset.
        learning_rate=float(config.learning_rate),
        lr_scheduler_type=config.scheduler,
        warmup_steps=round(total_steps * config.warmup_percent / 100),
        max_grad_norm=1.0,
        weight_decay=0.0,
        optim="adamw_torch_fused",
        seed=config.seed,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        bf16=gpu,
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        dataloader_pin_memory=gpu,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # The callback decides, and saving is ours.
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class Conductor(TrainerCallback):
    """Reports each step, saves and measures every so often, and stops when asked."""

    def __init__(self, *, progress: Progress, held_out: HeldOut, checkpoint_steps: int) -> None:
        """Keep what the callback needs between steps."""
        self.progress = progress
        self.held_out = held_out
        self.checkpoint_steps = checkpoint_steps
        self.stopped_early = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide after an optimizer step whether to measure, to save, and to go on."""
        last = state.global_step >= state.max_steps
        due = state.global_step % self.checkpoint_steps == 0
        if self.held_out.batches and (due or last):
            loss = self.held_out.look(kwargs["model"])
            state.log_history.append({"step": state.global_step, "held_out_loss": loss})
            self.stopped_early = self.held_out.hopeless and not last
        if self.stopped_early:
            control.should_training_stop = True
        elif self.progress.stopping and not last:
            control.should_save = True
            control.should_training_stop = True
        elif due and not last:
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the figures of a step."""
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            self.progress.update(
                state.global_step,
                state.max_steps,
                unit="steps",
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
            )


class ExpertTrainer(SFTTrainer):
    """SFTTrainer that computes only what is learned and saves only tensors and JSON."""

    def __init__(
        self, *, run: str, checkpoint_folder: Path, held_out: HeldOut, **arguments: Any
    ) -> None:
        """Build the trainer.

        Args:
            run: SHA-256 of what is trained; a checkpoint of another run is not taken up.
            checkpoint_folder: where step folders are written.
            held_out: remembered in checkpoints.
            arguments: what SFTTrainer takes.
        """
        super().__init__(**arguments)
        self._run = run
        self._checkpoint_folder = checkpoint_folder
        self._held_out = held_out
        # It prints each step's figures; ours go to the progress.
        self.remove_callback(PrinterCallback)
        for parameter in self._peft_model.parameters():
            if parameter.requires_grad:
                # SFTTrainer makes adapters of 4-bit models bfloat16, where a small update is lost.
                parameter.data = parameter.data.float()

    @property
    def _peft_model(self) -> Any:
        return self.model

    def compute_loss(
        self,
        model: Any,
        inputs: Tensors,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Return the mean loss over the learned tokens of the optimizer step.

        Raises:
            UserError: the loss is not finite.
        """
        with mixed_precision(fastest_products()):
            total, count = answer_loss(model, inputs)
        if not torch.isfinite(total):
            raise UserError(
                f"the loss is {total.item()} at step {self.state.global_step}",
                reason=Reason.NAN_LOSS,
                hint="lower training.learningRate",
                exit_code=ExitCode.TRAINING_FAILED,
            )
        if num_items_in_batch is None:
            return total / max(count, 1)
        # The number counts all devices, and gradients are averaged over them.
        loss: torch.Tensor = total / num_items_in_batch * self.accelerator.num_processes
        return loss

    def _send_telemetry(self) -> None:
        """Tell nobody outside that somebody trains here: TRL would, over the network."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not self.args.should_save:
            return
        step = self.state.global_step
        folder = checkpoints.folder_of(self._checkpoint_folder, step=step)
        checkpoints.begin(folder)
        checkpoints.save_tensors(trained_weights(self.model), folder / "adapter.safetensors")
        if self._held_out.best:
            checkpoints.save_tensors(self._held_out.best, folder / "best.safetensors")
        groups = checkpoints.save_optimizer(self.optimizer, folder / "optimizer.safetensors")
        numbers = checkpoints.save_random(folder / "rng.safetensors")
        scheduler: Any = self.lr_scheduler
        saved = checkpoints.SavedState(
            scheduler=scheduler.state_dict(),
            param_groups=groups,
            best_loss=self._held_out.best_loss,
            evaluations_without_better=self._held_out.without_better,
            **numbers,
        )
        (folder / "state.json").write_text(saved.model_dump_json())
        self.state.save_to_json(str(folder / "trainer_state.json"))
        checkpoints.commit(folder, run=self._run, step=step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        set_trained_weights(self.model, load_file(folder / "adapter.safetensors"))
        saved = checkpoints.load_state(folder)
        self._held_out.best_loss = saved.best_loss
        self._held_out.without_better = saved.evaluations_without_better
        if saved.best_loss is not None:
            self._held_out.best = load_file(folder / "best.safetensors")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        saved = checkpoints.load_state(folder)
        checkpoints.load_optimizer(
            self.optimizer, folder / "optimizer.safetensors", param_groups=saved.param_groups
        )
        scheduler: Any = self.lr_scheduler
        scheduler.load_state_dict(saved.scheduler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            folder = Path(checkpoint)
            checkpoints.load_random(folder / "rng.safetensors", checkpoints.load_state(folder))
