"""Names the licences of a repository, so that whoever serves an expert knows what it was taught."""

import re

from nanodex.graph.reader import Graph

_LICENCE_FILE = re.compile(r"(^|/)(licen[cs]e|copying|notice|unlicense)[^/]*$", re.IGNORECASE)
# Words that only this licence has, the more particular first.
_MARKS: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", "apache license version 2.0"),
    ("AGPL-3.0", "gnu affero general public license version 3"),
    ("LGPL-3.0", "gnu lesser general public license version 3"),
    ("LGPL-2.1", "gnu lesser general public license version 2.1"),
    ("GPL-3.0", "gnu general public license version 3"),
    ("GPL-2.0", "gnu general public license version 2"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("Unlicense", "this is free and unencumbered software"),
    ("BSL-1.0", "boost software license - version 1.0"),
    ("BSD-3-Clause", "neither the name of"),
    ("BSD-2-Clause", "redistributions in binary form must reproduce"),
    ("ISC", "permission to use, copy, modify, and/or distribute this software"),
    ("MIT", "permission is hereby granted, free of charge"),
)


def find_licences(graph: Graph) -> dict[str, str]:
    """Return the SPDX name of each licence file by its path, "unknown" where no rule knows it."""
    found = {}
    for path, file in graph.files.items():
        if _LICENCE_FILE.search(path) and file.content is not None:
            text = " ".join(graph.content(path).decode(errors="replace").casefold().split())
            text = text.replace(",", "")
            found[path] = next(
                (name for name, mark in _MARKS if mark.replace(",", "") in text), "unknown"
            )
    return dict(sorted(found.items()))
