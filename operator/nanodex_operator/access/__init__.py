"""Says whose a token is and which experts its owner may ask: `python -m nanodex_operator.access`.

A process of its own with two rights, `create` on tokenreviews and on subjectaccessreviews. Agents
ask it; their own Pods hold no token of the cluster.
"""
