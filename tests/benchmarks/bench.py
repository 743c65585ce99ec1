"""Prints figures of every stage as one JSON object: `make bench`.

Each figure stands beside another of the same run where there is one to compare with: extraction
beside Python's own parser, training beside a plain TRL loop, the agent beside the engine behind it.
Nothing is asserted: a slow machine is not a failure. What happens is told on standard error.

    python tests/benchmarks/bench.py --only code --packages requests,flask --repeats 3
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import code_stages
import packages
import psutil

ROOT = Path(__file__).resolve().parents[2]
# A language server answers a few hundred questions a second: small packages only.
ORACLE_PACKAGES = {"requests", "flask"}
PARTS = ("code", "oracle", "agent", "train", "serve", "operator")


def main() -> None:
    """Measure the parts that were asked for."""
    # An end by signal unwinds, so that the measured process ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"any of {','.join(PARTS)}")
    parser.add_argument("--packages", default=",".join(packages.PACKAGES))
    parser.add_argument("--repeats", type=int, default=3, help="runs of code stages")
    parser.add_argument("--training-repeats", type=int, default=2)
    parser.add_argument("--training-examples", type=int, default=160)
    parser.add_argument("--experts", type=int, default=1000, help="CodeExperts of the operator")
    parser.add_argument("--adapters", type=int, default=200, help="adapters that an agent knows")
    parser.add_argument("--adapter", type=Path, help="folder of a trained one; absent: train it")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "bench")
    arguments = parser.parse_args()
    chosen = set(arguments.only.split(","))
    if unknown := chosen - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")

    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for part, name, figures in measured(chosen, arguments, scratch=Path(folder)):
            # Told at once: a run that is cut short was not for nothing.
            tell(f"{part} {name}: {json.dumps(figures)}")
            if name:
                report.setdefault(part, {})[name] = figures
            else:
                report[part] = figures
    json.dump(report, sys.stdout, indent=2)
    print()


def measured(
    chosen: set[str], arguments: argparse.Namespace, *, scratch: Path
) -> Iterator[tuple[str, str, Any]]:
    """Yield part, name (or nothing) and figures as they are measured."""
    names = arguments.packages.split(",")
    tell("base model")
    base_model = code_stages.bundled_model(arguments.cache / "models")
    for name in names if "code" in chosen else ():
        tell(f"code: {name}")
        place = scratch / name
        place.mkdir()
        source = packages.unpacked(name, cache=arguments.cache)
        yield (
            "code",
            name,
            code_stages.figures(
                source, scratch=place, repeats=arguments.repeats, base_model=base_model
            ),
        )
    for name in sorted(ORACLE_PACKAGES & set(names)) if "oracle" in chosen else ():
        tell(f"oracle: {name}")
        yield "oracle", name, oracle(packages.unpacked(name, cache=arguments.cache))
    if "agent" in chosen:
        import agent_speed

        tell("agent")
        place = scratch / "a"
        place.mkdir()
        yield "agent", "streams", agent_speed.figures(place)
        yield "agent", "memory", agent_memory(arguments.adapters)
    if "train" in chosen or ("serve" in chosen and arguments.adapter is None):
        # Not at the top: measured processes import this module too, and would weigh more.
        import training_speed

        tell("train")
        place = scratch / "t"
        place.mkdir()
        yield (
            "train",
            "",
            training_speed.figures(
                ROOT / "config" / "samples" / "parcelry",
                scratch=place,
                trained=arguments.training_examples,
                repeats=arguments.training_repeats,
                base_model=base_model,
            ),
        )
    if "serve" in chosen:
        import serving_speed

        tell("serve")
        for name, figures in serving_speed.figures(
            adapter=arguments.adapter or scratch / "t" / "ours" / "trained" / "adapter",
            base_model=base_model,
            scratch=scratch,
        ):
            yield "serve", name, figures
    if "operator" in chosen:
        tell("operator")
        yield "operator", "", operator(arguments.experts)


def operator(experts: int) -> Any:
    """What many CodeExperts cost, on a real control plane."""
    return _module("operator_scale", f"--experts={experts}")


def agent_memory(adapters: int) -> Any:
    """What an agent weighs that knows many adapters."""
    return _module("agent_memory", f"--adapters={adapters}")


def _module(name: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
    measured = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return json.loads(measured.stdout)


def oracle(source: Path) -> Any:
    """Precision and recall of edges against pyright's language server."""
    script = Path(__file__).with_name("oracle_python.py")
    compared = subprocess.run(
        [sys.executable, str(script), str(source)], check=True, stdout=subprocess.PIPE
    )
    return json.loads(compared.stdout)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memoryGigabytes": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "loadAtStart": round(os.getloadavg()[0], 2),
    }


def tell(text: str) -> None:
    """Say on standard error what is being measured."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return ""


if __name__ == "__main__":
    main()
