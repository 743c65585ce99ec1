"""The artifacts package."""
