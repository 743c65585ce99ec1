"""Trains a LoRA adapter on a dataset, in steps that can be stopped and taken up again."""

from nanodex.trainer.figures import TrainMetrics
from nanodex.trainer.training import train

__all__ = ["TrainMetrics", "train"]
