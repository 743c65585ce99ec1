"""Which files a file sees: includes by path, and their includes."""

import posixpath
from collections import defaultdict

from nanodex.extractor.program import Program, Unit


class Includes:
    """Resolves include paths over the files of a program."""

    def __init__(self, program: Program) -> None:
        self._units = {u.path: u for u in program.units if u.language == "cpp"}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in self._units:
            self._by_name[posixpath.basename(path)].append(path)
        self._closures: dict[str, frozenset[str]] = {}

    def find(self, unit: Unit, written: str) -> Unit | None:
        """Return the file that `#include "written"` means: beside this one, or the only such name.

        Where several files could be meant, the one in the nearest common folder is, if it is alone.
        """
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(unit.path), written))
        if beside in self._units:
            return self._units[beside]
        tail = posixpath.normpath(written)
        found = [
            path
            for path in self._by_name.get(posixpath.basename(tail), ())
            if path == tail or path.endswith("/" + tail)
        ]
        if len(found) > 1:
            shared = {path: len(posixpath.commonprefix([path, unit.path])) for path in found}
            best = max(shared.values())
            found = [path for path in found if shared[path] == best]
        return self._units[found[0]] if len(found) == 1 else None

    def visible(self, unit: Unit) -> frozenset[str]:
        """Return the paths of `unit` and of all that it includes, directly or not."""
        known = self._closures.get(unit.path)
        if known is None:
            seen = {unit.path}
            queue = [unit]
            for current in queue:
                for binding in current.scope(0).get("#include", ()):
                    found = self.find(current, (binding.value or [""])[0])
                    if found is not None and found.path not in seen:
                        seen.add(found.path)
                        queue.append(found)
            known = self._closures[unit.path] = frozenset(seen)
        return known
