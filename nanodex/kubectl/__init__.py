"""What a person asks of the experts in a cluster, through that person's own kubectl.

kubectl knows contexts, credential plugins, proxies and port forwarding; whoever may run it has it
set up already. So this package runs it and needs no client of its own.

kubectl = Kubectl(context="", kubeconfig="", namespace="team-a")
expert = find_expert(kubectl, "payments")
change(kubectl, expert, pin_patch(earlier_pin(expert)))
"""

from nanodex.kubectl.client import Forwarded, Kubectl
from nanodex.kubectl.experts import Expert, change, find_expert, list_experts
from nanodex.kubectl.servers import service_of
from nanodex.kubectl.versions import candidate_pin, earlier_pin, pin_patch, retry_patch

__all__ = [
    "Expert",
    "Forwarded",
    "Kubectl",
    "candidate_pin",
    "change",
    "earlier_pin",
    "find_expert",
    "list_experts",
    "pin_patch",
    "retry_patch",
    "service_of",
]
