"""From paths to dotted module names, and back, the way the import system would find them."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from nanodex.extractor.program import UnitNames

# Folders that hold packages and are none themselves (packaging.python.org, "src layout").
_SOURCE_ROOTS = frozenset({"src", "lib", "python"})


def module_names(paths: Sequence[str]) -> Mapping[str, UnitNames]:
    """Name the module of each path.

    A package begins at the topmost folder of an unbroken chain of `__init__.py`; folders without
    one below a package are its namespace packages. A file outside any package is named from the
    repository's root, or from a source root such as `src`.
    """
    packages = {
        folder or "."
        for folder, _, name in (path.rpartition("/") for path in paths)
        if name in {"__init__.py", "__init__.pyi"}
    }
    names = {}
    roots: dict[str, str] = {}  # by folder: files of one folder have one root
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder not in roots:
            roots[folder] = _root(path, packages)
        dotted = ".".join(module_parts(path, root=roots[folder]))
        names[path] = UnitNames(dotted, dotted)
    return names


def module_parts(path: str, *, root: str) -> list[str]:
    """Return the parts of a module's name, given the folder that is on the import path."""
    place = path if root == "." else path.removeprefix(f"{root}/")
    parts = place.rpartition(".")[0].split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return [part.replace(".", "_") for part in parts]


def _root(path: str, packages: set[str]) -> str:
    folders = list(PurePosixPath(path).parents)  # nearest first, "." last
    inside = next((i for i, folder in enumerate(folders) if str(folder) in packages), None)
    if inside is None:
        first = PurePosixPath(path).parts[0]
        return first if first in _SOURCE_ROOTS and len(folders) > 1 else "."
    top = inside
    while top + 1 < len(folders) and str(folders[top + 1]) in packages:
        top += 1
    return str(folders[top + 1]) if top + 1 < len(folders) else "."
