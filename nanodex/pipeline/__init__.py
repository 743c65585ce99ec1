"""Runs stages: finds the key, looks for the artifact, fetches inputs, publishes, exits."""
