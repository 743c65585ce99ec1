"""What an import means: rules `import`, `re-export` and `star import`."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Expr

_DEFINITIONS = frozenset({"class", "function"})


class Definition(NamedTuple):
    """What a name stands for: a node, a package without a file, or something outside."""

    node: int | None
    name: str  # dotted; of an external symbol or of a package without a file
    external: bool
    rule: str = "import"


class Unknown(NamedTuple):
    """An import that nothing in the repository answers though it should."""

    reason: str


class Imports:
    """Finds modules by dotted name and follows imports through re-exports."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._modules: dict[str, list[Unit]] = defaultdict(list)
        self._packages: set[str] = set()
        self._found: dict[tuple[int, str, bool], Definition | Unknown] = {}
        self._members: dict[tuple[int, str], Definition | None] = {}
        # Modules import each other in circles: a question that is being asked is not asked again.
        self._asking: set[tuple[int, str]] = set()
        for unit in program.units:
            if unit.language == "python":
                self._modules[unit.names.module].append(unit)
                parts = unit.names.module.split(".")
                self._packages.update(".".join(parts[:end]) for end in range(1, len(parts)))

    def resolve(self, unit: Unit, target: Expr) -> Definition | Unknown:
        """Follow the import `["im", level, module, name]` of `unit` to a definition."""
        _, level, module, name = target
        dotted = self._absolute(unit, level, module)
        if dotted is None:
            return Unknown("ImportBeyondTopLevel")
        found = self._module(unit, dotted, relative=level > 0)
        if name is None or isinstance(found, Unknown) or found.external:
            if name is not None and isinstance(found, Definition):
                return Definition(None, f"{found.name}.{name}", external=True)
            return found
        return self._member_of(unit, found, name)

    def member(self, unit: Unit, name: str) -> Definition | None:
        """Return what `name` stands for in the module `unit`, imports followed; None if nothing."""
        key = (unit.first, name)
        if key in self._members:
            return self._members[key]
        if key in self._asking:
            return None
        self._asking.add(key)
        try:
            answer = self._member(unit, name)
        finally:
            self._asking.discard(key)
        # Kept even when a circle cut a branch: a circle adds no definition, and asking again from
        # each side of a large one would take for ever.
        self._members[key] = answer
        return answer

    def _member(self, unit: Unit, name: str) -> Definition | None:
        nodes = self._program.members(unit.first, name)
        defined = [node for node in nodes if self._program.symbol(node).kind in _DEFINITIONS]
        if defined:
            return Definition(defined[-1], "", external=False)
        answers = []
        for binding in unit.scope(0).get(name, ()):
            if binding.form == "import" and binding.value is not None:
                answer = self.resolve(unit, binding.value)
                if isinstance(answer, Definition):
                    answers.append(answer._replace(rule="re-export"))
        if answers:
            # try: import fast / except ImportError: import slow. Ours first, it can be shown.
            return min(answers, key=lambda answer: answer.external)
        if nodes:
            return Definition(nodes[-1], "", external=False)
        return self._starred(unit, name)

    def submodule(self, dotted: str) -> Definition | None:
        """Return the module or package with exactly this name."""
        units = self._modules.get(dotted)
        if units:
            return Definition(units[0].first, "", external=False)
        if dotted in self._packages:
            return Definition(None, dotted, external=False)
        return None

    def _absolute(self, unit: Unit, level: int, module: str) -> str | None:
        if not level:
            return module
        parts = unit.names.module.split(".")
        if not _is_package(unit):
            parts.pop()
        if level - 1 > len(parts):
            return None
        parts = parts[: len(parts) - (level - 1)]
        return ".".join([*parts, module] if module else parts)

    def _module(self, unit: Unit, dotted: str, *, relative: bool) -> Definition | Unknown:
        key = (unit.first, dotted, relative)
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = self._find(unit, dotted, relative=relative)
        return known

    def _find(self, unit: Unit, dotted: str, *, relative: bool) -> Definition | Unknown:
        for name in self._candidates(unit, dotted, relative=relative):
            units = self._modules.get(name)
            if units:
                return Definition(_nearest(units, unit.path).first, "", external=False)
            if name in self._packages:
                return Definition(None, name, external=False)
        top = dotted.partition(".")[0]
        if relative or top in self._packages:
            return Unknown("NoSuchModule")
        return Definition(None, dotted, external=True)

    def _candidates(self, unit: Unit, dotted: str, *, relative: bool) -> Iterator[str]:
        yield dotted
        if not relative and not _is_package(unit):
            # A script's own folder comes first on its import path, unless the folder is a package.
            folder, _, _ = unit.names.module.rpartition(".")
            if folder and folder not in self._modules:
                yield f"{folder}.{dotted}"

    def _member_of(self, unit: Unit, module: Definition, name: str) -> Definition | Unknown:
        dotted = module.name
        if module.node is not None:
            home = self._program.unit_of(module.node)
            dotted = home.names.module
            # `from . import x` inside the package's own __init__ means the submodule.
            answer = None if home is unit else self.member(home, name)
            if answer is not None:
                return answer
        return self.submodule(f"{dotted}.{name}") or Unknown("NoSuchName")

    def _starred(self, unit: Unit, name: str) -> Definition | None:
        if name.startswith("_"):
            return None
        for binding in unit.scope(0).get("*", ()):
            if binding.value is None:
                continue
            module = self.resolve(unit, binding.value)
            if isinstance(module, Definition) and module.node is not None:
                answer = self.member(self._program.unit_of(module.node), name)
                if answer is not None:
                    return answer._replace(rule="star import")
        return None


def _is_package(unit: Unit) -> bool:
    return unit.path.rpartition("/")[2].rpartition(".")[0] == "__init__"


def _nearest(units: list[Unit], path: str) -> Unit:
    """Of modules of one name, take the one that shares most of the path; source before stub."""

    def distance(unit: Unit) -> tuple[int, bool, str]:
        shared = 0
        for own, other in zip(path.split("/"), unit.path.split("/"), strict=False):
            if own != other:
                break
            shared += 1
        return (-shared, unit.path.endswith(".pyi"), unit.path)

    return min(units, key=distance)
