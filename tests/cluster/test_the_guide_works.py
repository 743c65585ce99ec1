"""The commands of docs/kind.md, run as they stand there, against the cluster of the tests.

Those of make are left out: they made this cluster, or would remove it.
"""

import os
import subprocess
from pathlib import Path

import pytest

from hack.images.catalog import ROOT
from hack.kind.build import built
from hack.kind.demo.objects import TEAM
from tests.cluster.product import Product

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
COMMANDS = [
    line.strip()
    for line in (ROOT / "docs" / "kind.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("    ") and line.split()[0] in {"export", "helm", "kubectl"}
]


def test_a_reader_types_what_stands_there(
    served: Product, kubeconfig: Path, tmp_path: Path
) -> None:
    assert len(COMMANDS) >= 5
    for name, binary in built(["helm", "kubectl"]).items():
        (tmp_path / name).symlink_to(binary)
    # A cluster that a user names is not where the guide's is.
    here = (ROOT / ".cache/kind/nanodex/kubeconfig").resolve() == kubeconfig.resolve()
    typed = [line for line in COMMANDS if here or not line.startswith("export KUBECONFIG=")]
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        **({} if here else {"KUBECONFIG": str(kubeconfig)}),
    }

    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(typed)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert "STATUS: deployed" in said.stdout
    assert "codeexpert.nanodex.dev/parcelry" in said.stdout
    served.until(lambda: served.is_ready(TEAM), seconds=300)
