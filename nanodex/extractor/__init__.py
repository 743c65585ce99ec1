"""The extractor package."""
