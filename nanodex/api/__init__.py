"""The contract: resources, stage parameters, records, manifests and keys.

Everything that two parts of nanodex must agree on is a model here, and nothing here imports
another part of nanodex. The operator, the command line and every stage read the same models.
"""
