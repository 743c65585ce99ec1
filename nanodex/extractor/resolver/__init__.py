"""What languages share: the names around a name, and rules once a language's resolver has answered.

Each rule is a function of its own name; the name is what an edge carries in `rule`.
"""
