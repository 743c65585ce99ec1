"""The images of nanodex: what each is called, what it is made from, and what it may be."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = "localhost"
PUBLIC_BASE = "docker.io/library/python:3.13-slim"


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image."""

    name: str
    repository: str
    # What all its files may take, in MB; a tenth more than they did when this was written.
    budget: int
    # The image that its Containerfile takes as TORCH.
    above: str = ""
    # Modules that must be there, and some that must not.
    imports: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    # Programs that must answer `--version`.
    programs: tuple[str, ...] = ()
    # Statements that must run.
    tries: str = ""
    shell: bool = True

    @property
    def containerfile(self) -> Path:
        """Where its Containerfile is."""
        return ROOT / "images" / self.name / "Containerfile"

    def reference(self, tag: str) -> str:
        """Return its full name."""
        return f"{REGISTRY}/{self.repository}:{tag}"


_TORCH = ("torch", "triton", "nvidia", "transformers", "vllm")
_PIPELINE = ("numpy", "scipy", "datasketch", "tree_sitter")

# In the order in which they are built.
IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            name="operator",
            repository="nanodex-operator",
            budget=280,
            imports=("nanodex_operator", "nanodex.api", "nanodex.artifacts.s3", "kopf"),
            lacks=(*_TORCH, *_PIPELINE, "pip", "setuptools"),
            shell=False,
        ),
        Image(
            name="nanodex",
            repository="nanodex",
            budget=550,
            imports=("nanodex.cli", "nanodex.extractor", "nanodex.dataset", "nanodex.inference"),
            lacks=(*_TORCH, "kopf", "kubernetes", "pip", "setuptools"),
            programs=("git", "sleep"),
        ),
        Image(name="torch", repository="nanodex-torch", budget=5600, imports=("torch",)),
        Image(
            name="trainer",
            repository="nanodex-trainer",
            above="torch",
            budget=6600,
            imports=("nanodex.trainer", "nanodex.evaluation", "trl", "peft", "bitsandbytes"),
            # It pickles objects of pyarrow, which fails where packages are not known for such.
            tries="import datasets; datasets.Dataset.from_dict({'example': [1]})",
            lacks=("vllm", "kopf", "kubernetes", "pip"),
        ),
        Image(
            name="vllm-cpu",
            repository="nanodex-vllm-cpu",
            above="torch",
            budget=7600,
            imports=("nanodex.inference", "vllm", "torch"),
            programs=("rm", "sleep"),
            # vLLM goes on without its kernels, up to the first one that it calls.
            tries="import ctypes, pathlib; origin = sys.modules['vllm'].__file__; "
            "[ctypes.CDLL(str(one)) for one in pathlib.Path(origin).parent.glob('_C_AVX2*.so')]",
            lacks=("trl", "peft", "kopf", "kubernetes", "pip"),
        ),
    )
}


def chosen(names: list[str]) -> list[Image]:
    """Return the images of these names, or all, each after the one that it stands on.

    Raises:
        KeyError: there is no such image.
    """
    wanted = {name for name in (names or IMAGES)}
    wanted |= {above for name in wanted if (above := IMAGES[name].above)}
    return [image for image in IMAGES.values() if image.name in wanted]


def version() -> str:
    """Return the version of nanodex, which is the tag of its images."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project: dict[str, str] = tomllib.load(stream)["project"]
    return project["version"]
