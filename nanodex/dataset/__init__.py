"""The dataset package."""
