"""Brain: gives every node of the graph a meaning and a summary that is true by construction."""

from nanodex.brain.graph_manager import BrainMetrics, build_brain

__all__ = ["BrainMetrics", "build_brain"]
