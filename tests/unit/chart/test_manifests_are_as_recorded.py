"""What every file of ci/ renders, as text.

After a change that is meant, `make golden` writes it anew. The CRDs stand there by name alone:
crds/ has them, and a test of their own.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helm import CHART, VALUES, Helm

_CRD = "kind: CustomResourceDefinition"


def _recorded(values: Path) -> Path:
    return Path(values.name.replace("-values", ""))


def _text(manifests: str) -> str:
    documents = [document for document in manifests.split("---\n") if document.strip()]
    return "---\n".join(
        _named(document) if _CRD in document else document for document in documents
    )


def _named(crd: str) -> str:
    name = yaml.safe_load(crd)["metadata"]["name"]
    return f"# Source: nanodex/templates/crds.yaml\n# The CRD {name}.\n"


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_manifests(helm: Helm, golden: Callable[[Path, str], None], values: Path) -> None:
    golden(_recorded(values), _text(helm.template(values)))


def test_nothing_is_recorded_of_what_is_not_there() -> None:
    recorded = {path.name for path in (Path(__file__).parent / "golden").iterdir()}
    assert recorded == {_recorded(values).name for values in VALUES}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_lint_finds_nothing(helm: Helm, values: Path) -> None:
    said = helm.run("lint", "--strict", CHART, f"--values={values}")
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "[WARNING]" not in said and "[ERROR]" not in said


def test_the_package_holds_what_the_chart_needs(helm: Helm, tmp_path: Path) -> None:
    helm.run("package", CHART, f"--destination={tmp_path}")
    [package] = tmp_path.iterdir()
    values = next(path for path in VALUES if path.name == "default-values.yaml")
    packed = helm.run(
        "template", "nanodex", package, "--namespace=nanodex-system", f"--values={values}"
    )
    assert packed == helm.template(values)
