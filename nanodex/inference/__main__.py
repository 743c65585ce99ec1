"""`python -m nanodex.inference STATE`: the process behind `start_detached`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from nanodex.errors import NanodexError
from nanodex.inference.desired import read_desired
from nanodex.inference.server import serve
from nanodex.inference.state import Failure, Launch, StateFolder, read_model, write_model

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve what launch.json and desired.json in the state folder say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nanodex-server", description=__doc__)
    parser.add_argument("state", type=Path, help="folder that start_detached has filled")
    folder = StateFolder(parser.parse_args(arguments).state)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    launch = read_model(folder.launch, Launch)
    if launch is None:
        parser.error(f"{folder.launch} cannot be read")
    try:
        return serve(
            launch.config,
            base_model=launch.base_model,
            experts=read_desired(folder.desired).experts,
            state=folder.root,
            on_ready=lambda info: logging.getLogger(__name__).info("ready at %s", info.url),
        )
    except NanodexError as error:
        failure = Failure(
            message=error.message,
            reason=error.reason,
            hint=error.hint,
            exit_code=error.exit_code,
        )
        write_model(folder.failure, failure)
        logging.getLogger(__name__).error("%s (%s); %s", error.message, error.reason, error.hint)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
