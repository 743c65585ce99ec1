"""One folder per language, each on the same framework.

A folder `languages/<name>/` provides an object `LANGUAGE` in its `__init__.py` that satisfies
`protocol.Language`, and is named once in `_FOLDERS` below. By custom it has three modules:

- `queries.py`: the node types of the grammar that mean something to us, and the version of that
  choice (`QUERY_PACK_VERSION`). Raise it with every change of what `read` returns.
- `symbols.py`: the walk over the syntax tree that fills a `records.FileRecord` (`walk.py` where
  its handlers have files of their own). It is a pure function of bytes and dialect and knows no
  path.
  `symbols[0]` is the module (kind "module", local_name "",
  parent -1, whole file), parents come before children. `Reference.target` and `Binding.value` are
  nested JSON lists in a form of the language's own, bounded in depth.
- `resolver.py`: names the modules, then answers for each reference `Found` (a node id),
  `External` (a real dotted name) or `Missing` (a reason); each answer carries the name of its rule
  and its confidence. What no rule resolves is `Missing`, never a
  guess; a name that was imported from
  outside is never bound to a first-party namesake.

What the framework does for every language, so that a folder need not:

- parsing in worker processes, caching, budgets, skipped files, `has_errors`;
- edges `defines` (from `parent`), `overrides` (methods of the same name along
  `Program.linearization`), `tests` (from what tests call, instantiate or import), `extends`
  turned into `implements` where the base is an interface, `calls` turned into `instantiates` where
  the target is a class;
- kinds: a class below one of `class_kinds` gets that kind;
- a declaration that is defined in another file (`Program.adopt`) gives one node, the definition's;
- external nodes, unresolved rows, sorting, node ids and SQLite.

The framework asks for all `extends` and `implements` references first; answers become
`Program.bases`, so `Program.linearization` holds when the other references are asked.
"""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import cast

from nanodex.extractor.languages.protocol import Language

# Name as in ExtractorConfig.languages -> folder. TypeScript and JavaScript share one.
_FOLDERS = {
    "python": "python",
    "java": "java",
    "typescript": "typescript",
    "javascript": "typescript.javascript",
    "cpp": "cpp",
}


@cache
def load_language(name: str) -> Language:
    """Import the folder of a language, and with it its grammar.

    Raises:
        KeyError: no such language.
    """
    module = import_module(f"nanodex.extractor.languages.{_FOLDERS[name]}")
    return cast("Language", module.LANGUAGE)


def suffix_table(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return file name suffix -> (language, dialect) for the languages of `names` that exist."""
    table: dict[str, tuple[str, str]] = {}
    for name in names:
        if name in _FOLDERS:
            for suffix, dialect in load_language(name).suffixes.items():
                table.setdefault(suffix, (name, dialect))
    return table


@cache
def pack_version(name: str) -> str:
    """Name everything beside the bytes that a record of this language depends on."""
    # A third of what a parser process imports, and none asks for it.
    from importlib.metadata import version

    language = load_language(name)
    grammars = ",".join(f"{grammar}={version(grammar)}" for grammar in language.grammars)
    return f"{name}/{language.query_pack_version} tree-sitter={version('tree-sitter')} {grammars}"
