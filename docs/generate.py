"""Writes what is rendered from the models: config/*.yaml, crds/ and the reference pages of docs/.

Run it after a change of nanodex/api or of the command line: `.venv/bin/python docs/generate.py`.
With `--check` it writes nothing, names the files that are out of date and exits with 1.
"""

import argparse
import re
from pathlib import Path

from chart_values import chart_values
from command_line import command_reference

from nanodex.api.code_expert import CodeExpert
from nanodex.api.crds import crd_files
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    InferenceConfig,
    TrainingConfig,
)
from nanodex.api.reasons import ConditionReason
from nanodex.api.reference import markdown_table, yaml_defaults
from nanodex.cli import app
from nanodex.cli.plugin import app as plugin

COMMAND_LINE = """\
# Command line

<!-- rendered by docs/generate.py -->

Exit codes and reasons: [troubleshooting.md](troubleshooting.md). A wrong option or argument
gives exit code 2.

"""
ROOT = Path(__file__).resolve().parent.parent


def rendered() -> dict[Path, str]:
    """Return every rendered file and its text."""
    lora = TrainingConfig(method="lora", learning_rate="1e-4")
    config = {
        "extract.yaml": (ExtractorConfig(), "Which files become the graph."),
        "brain.yaml": (BrainConfig(), "How the graph is summarised."),
        "dataset.yaml": (DatasetConfig(), "What is asked about the graph."),
        "train_qlora.yaml": (
            TrainingConfig(),
            "Training on a base model in 4 bits: the least memory. These are the defaults.",
        ),
        "train_lora.yaml": (
            lora,
            "Training on a base model in its own precision: method and learningRate differ "
            "from the defaults.",
        ),
        "evaluate.yaml": (EvaluationConfig(), "How the adapter is judged."),
        "inference.yaml": (InferenceConfig(), "The engine and the agent in front of it."),
    }
    files = {
        ROOT / "config" / name: yaml_defaults(model, title=title)
        for name, (model, title) in config.items()
    }
    for name, text in crd_files().items():
        # Helm packages nothing from outside the chart.
        for folder in ("crds", "charts/nanodex/files/crds"):
            files[ROOT / folder / name] = text
    guide = ROOT / "docs" / "write-a-codeexpert.md"
    files[guide] = with_section(
        guide.read_text(encoding="utf-8"),
        name="fields of CodeExpert",
        content=markdown_table(CodeExpert),
    )
    install = ROOT / "docs" / "install.md"
    files[install] = with_section(
        install.read_text(encoding="utf-8"),
        name="values of the chart",
        content=chart_values(ROOT / "charts/nanodex/values.yaml"),
    )
    troubleshooting = ROOT / "docs" / "troubleshooting.md"
    files[troubleshooting] = with_section(
        troubleshooting.read_text(encoding="utf-8"),
        name="reasons of conditions",
        content="| reason | meaning |\n|---|---|\n"
        + "".join(f"| `{reason}` | {reason.meaning} |\n" for reason in ConditionReason),
    )
    files[ROOT / "docs" / "command-line.md"] = "\n".join(
        (
            COMMAND_LINE + command_reference(app, program="nanodex"),
            command_reference(plugin, program="kubectl nanodex"),
        )
    )
    return files


def with_section(text: str, *, name: str, content: str) -> str:
    """Return `text` with `content` between the marks of the section `name`.

    Raises:
        ValueError: the text has no such marks.
    """
    start, end = f"<!-- rendered: {name} -->\n", "<!-- end -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    result, count = pattern.subn(lambda _: f"{start}{content}{end}", text)
    if count != 1:
        raise ValueError(f"expected one section {name!r}, found {count}")
    return result


def main() -> int:
    """Write the files, or check them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    stale = {
        path: text
        for path, text in rendered().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        print(path.relative_to(ROOT))
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
