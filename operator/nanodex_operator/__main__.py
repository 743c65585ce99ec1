"""`python -m nanodex_operator`: the operator, with settings from NANODEX_<NAME>.

Login: the file that KUBECONFIG names, else the Pod's ServiceAccount. Store: AWS's own variables.
/metrics on NANODEX_METRICS_PORT, /healthz on NANODEX_HEALTH_PORT. Exit code 0 after SIGTERM, 1 when
another replica took over or a new process is needed, 2 when a setting is wrong.
"""

import asyncio
import logging
import os
import sys

from nanodex.errors import NanodexError
from nanodex_operator.logs import log_as_json
from nanodex_operator.process import run
from nanodex_operator.settings import Settings, WrongSettings

_log = logging.getLogger("nanodex_operator")


def main() -> int:
    """Run until a signal comes; returns the exit code."""
    log_as_json()
    try:
        settings = Settings.from_environment(os.environ)
    except WrongSettings as error:
        for problem in error.problems:
            _log.error("%s", problem)
        return 2
    try:
        return asyncio.run(run(settings))
    except NanodexError as error:
        _log.error("%s (%s); %s", error.message, error.reason, error.hint)
        return 2


if __name__ == "__main__":
    sys.exit(main())
