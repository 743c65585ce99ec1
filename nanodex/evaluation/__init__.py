"""Asks base model and adapter what they know, scores without a judge, and decides who may serve."""

from nanodex.evaluation.evaluation import EvaluationMetrics, evaluate

__all__ = ["EvaluationMetrics", "evaluate"]
