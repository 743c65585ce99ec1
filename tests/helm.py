"""Helm as a user runs it, on the chart of this repository."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts/nanodex"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE = "nanodex"
NAMESPACE = "nanodex-system"

Object = dict[str, Any]


class HelmFailed(Exception):
    """Helm said no; the message is what it said."""


class Helm:
    """One helm binary, with nothing of the user's own configuration.

    Args:
        binary: its path.
        folder: where it may write.
        kubeconfig: the cluster; none for what needs none.
    """

    def __init__(self, binary: Path, *, folder: Path, kubeconfig: Path | None = None) -> None:
        self._binary = binary
        self._rendered: dict[tuple[str | Path, ...], str] = {}
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig or os.devnull),
        }

    def run(self, *arguments: str | Path) -> str:
        """Return what a command prints.

        Raises:
            HelmFailed: it failed.
        """
        done = subprocess.run(
            [self._binary, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if done.returncode:
            raise HelmFailed(done.stderr or done.stdout)
        return done.stdout

    def template(
        self,
        *values: Path,
        settings: Mapping[str, str] | None = None,
        namespace: str = NAMESPACE,
        only: Sequence[str] = (),
    ) -> str:
        """Return the manifests, as text; the chart does not change while the tests run.

        Args:
            values: files with values.
            settings: values by their path, as JSON.
            namespace: the release's.
            only: templates; all by default.
        """
        arguments = (
            "template",
            RELEASE,
            CHART,
            f"--namespace={namespace}",
            *(f"--values={file}" for file in values),
            *as_flags(settings or {}),
            *(f"--show-only=templates/{name}" for name in only),
        )
        if arguments not in self._rendered:
            self._rendered[arguments] = self.run(*arguments)
        return self._rendered[arguments]


def as_flags(settings: Mapping[str, str]) -> list[str]:
    """Return the flags that set values, each given as JSON."""
    return [f"--set-json={name}={value}" for name, value in settings.items()]


def older_chart(folder: Path) -> Path:
    """Write the chart as of an older release: a column less, and an operator of other settings."""
    shutil.copytree(CHART, folder)
    file = folder / "files" / "crds" / "nanodex.dev_codeexperts.yaml"
    # As text, as the chart itself takes it.
    first_column = r"(?<=additionalPrinterColumns:\n)    - .*\n(?:      .*\n)*"
    text, found = re.subn(first_column, "", file.read_text(encoding="utf-8"))
    assert found == 1
    file.write_text(text, encoding="utf-8")
    values = folder / "values.yaml"
    text = values.read_text(encoding="utf-8")
    assert "resyncSeconds: 600" in text
    values.write_text(text.replace("resyncSeconds: 600", "resyncSeconds: 700"), encoding="utf-8")
    return folder


def objects(manifests: str) -> list[Object]:
    """Return the objects of a rendered chart."""
    # libyaml: the parser in Python takes seconds for the CRDs.
    return [found for found in yaml.load_all(manifests, Loader=yaml.CSafeLoader) if found]


def of_kind(manifests: str, kind: str, *, component: str = "") -> list[Object]:
    """Return the objects of one kind; of one component or of all."""
    found = [one for one in objects(manifests) if one["kind"] == kind]
    return [one for one in found if component in ("", _component(one))]


def _component(found: Object) -> str:
    component: str = found["metadata"]["labels"]["app.kubernetes.io/component"]
    return component
