"""Serve adapters from one vLLM engine, behind an agent that is the only way in.

serve(config, base_model=..., experts=[ServedExpert(name="default/parcelry", ...)], ...)
ask("http://127.0.0.1:8000", "default/parcelry", "Where is Ledger.post defined?")
"""

from nanodex.api.agent_report import AdapterReport, AdapterState
from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.inference.background import find_server, start_detached, stop
from nanodex.inference.client import Origin, ask
from nanodex.inference.server import running_server, serve
from nanodex.inference.state import ServerInfo

__all__ = [
    "AdapterReport",
    "AdapterState",
    "DesiredSet",
    "Origin",
    "ServedExpert",
    "ServerInfo",
    "ask",
    "find_server",
    "running_server",
    "serve",
    "start_detached",
    "stop",
]
