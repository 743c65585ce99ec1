"""The operator: watches CodeExpert and ModelServer, plans, applies.

observe(key) -> Snapshot -> plan(Snapshot) -> Plan -> apply(Plan). Planning is pure; only `cluster`
knows the Kubernetes client, only `main` knows kopf.
"""
