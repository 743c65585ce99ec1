"""Rules that hold for every language once its own resolver has answered.

Each rule is a function of its own name; the name is what an edge carries in `rule`.
"""
