"""`make images`, `make images-check`, `make clean-images`."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import botocore
import certifi

from hack.debian import Lacks, ensure
from hack.images.base import DEBIAN, find_base
from hack.images.bill import bill_of_materials
from hack.images.catalog import IMAGES, ROOT, Image, chosen, version
from hack.images.check import findings, import_program, licence_table
from hack.images.contents import certificates, read_contents
from hack.images.machine import authorities, build_secrets, private_values, settings_of_pip
from hack.images.tool import CHOICE, BuildFailed, Recipe, Tool, find, needs_of_podman

BILLS = ROOT / ".cache" / "images"


def build(images: Sequence[Image], *, tool: Tool) -> None:
    """Build images.

    Raises:
        Lacks, BuildFailed: see `Tool` and `find_base`.
    """
    base = os.environ.get("BASE") or find_base(tool, tell=tell)
    tag = version()
    with build_secrets() as secrets:
        for image in images:
            begin = time.monotonic()
            tell(f"{image.name}: building with {tool.name} on {base}")
            arguments = {"BASE": base, "VERSION": tag, "REVISION": revision()}
            if image.above:
                arguments["TORCH"] = IMAGES[image.above].reference(tag)
            recipe = Recipe(
                reference=image.reference(tag),
                containerfile=image.containerfile,
                context=ROOT,
                arguments=arguments,
                secrets=secrets,
            )
            tool.make(recipe)
            tell(f"{image.name}: {recipe.reference} in {time.monotonic() - begin:.0f} s")


def check(images: Sequence[Image], *, tool: Tool) -> bool:
    """Check images, write their bills of materials, and return whether all is well.

    Raises:
        Lacks: an image is not there.
    """
    settings = settings_of_pip()
    trusted = authorities(settings, environment=os.environ)
    foreign = certificates(trusted.read_bytes()) - public_authorities() if trusted else set()
    private = private_values(settings)
    BILLS.mkdir(parents=True, exist_ok=True)
    well = True
    for image in images:
        reference = image.reference(version())
        inspected = tool.configuration(reference)
        with tool.exported(reference) as stream:
            contents = read_contents(stream, traces=private, foreign=foreign)
        wrong = findings(image, contents=contents, configuration=_config(inspected))
        if any(value.decode() in json.dumps(inspected) for value in private):
            wrong.append("its configuration or history tells about the machine that built it")
        wrong += _imports(image, reference=reference, tool=tool)
        bill = bill_of_materials(image.repository, version=version(), packages=contents.packages)
        (BILLS / f"{image.name}.cdx.json").write_text(bill, encoding="utf-8")
        table = licence_table(contents.packages)
        (BILLS / f"{image.name}.licences.txt").write_text(table, encoding="utf-8")
        tell(
            f"{image.name}: {contents.bytes / 1e6:.0f} of {image.budget} MB, "
            f"{len(contents.packages)} packages, {'ok' if not wrong else 'wrong:'}"
        )
        for sentence in wrong:
            tell(f"  {sentence}")
        well = well and not wrong
    return well


def public_authorities() -> set[bytes]:
    """Return the certificates that packages of the images come with."""
    bundles = (Path(certifi.where()), Path(botocore.__file__).with_name("cacert.pem"))
    return {body for bundle in bundles for body in certificates(bundle.read_bytes())}


def _imports(image: Image, *, reference: str, tool: Tool) -> list[str]:
    if tool.name == "buildah":
        tell(f"{image.name}: not run, for that needs podman or docker")
        return []
    command = tool.run(reference, "python3", "-c", import_program(image))
    done = subprocess.run(
        command, env=tool.environment(), capture_output=True, text=True, check=False
    )
    return [f"it does not run: {done.stderr[-1500:]}"] if done.returncode else []


def _config(inspected: Any) -> Any:
    # docker and podman: a list of one; buildah: an object of its own shape.
    if isinstance(inspected, list):
        return inspected[0]["Config"]
    return inspected["OCIv1"]["config"]


def clean(images: Sequence[Image], *, tool: Tool) -> None:
    """Remove images and their bills."""
    for image in reversed(images):
        tool.output(tool.remove(image.reference(version())))
        for file in BILLS.glob(f"{image.name}.*"):
            file.unlink()
    if len(images) == len(IMAGES):
        tool.output(tool.remove(DEBIAN))
        # Layers of build stages, which have no name.
        tool.output([tool.name, "image", "prune", "--force"])


def builder() -> Tool:
    """Return what builds here; podman is installed where nothing does, and that is allowed.

    Raises:
        Lacks: there is none, or not the one that the user names.
    """
    try:
        tool = find()
    except Lacks:
        if os.environ.get(CHOICE):
            raise
        tool = Tool("podman")
    if tool.name == "podman":
        ensure(needs_of_podman(), tell=tell)
    return tool


def revision() -> str:
    """Return the commit that is built, with `-dirty` where files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def tell(line: str) -> None:
    """Say how far we are."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Do what the Makefile asks for."""
    parser = argparse.ArgumentParser(prog="hack.images", description=__doc__)
    parser.add_argument("what", choices=("build", "check", "clean"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(IMAGES))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(IMAGES):
        parser.error(f"no image is called {', '.join(sorted(unknown))}")
    try:
        tool = builder() if arguments.what == "build" else find()
        if arguments.what == "build":
            build(chosen(arguments.names), tool=tool)
        elif arguments.what == "clean":
            clean(chosen(arguments.names), tool=tool)
        elif not check(chosen(arguments.names), tool=tool):
            return 1
    except (Lacks, BuildFailed) as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
