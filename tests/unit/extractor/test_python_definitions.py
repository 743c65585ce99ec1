"""What is recorded of a definition: texts are the source's own."""

import json


def test_a_function_keeps_signature_docstring_parameters_and_decorators(extracted):
    found = extracted(
        {
            "m.py": (
                "@route('/x')\n"
                "async def fetch(\n    url: str, *, retries: int = 3, **options\n) -> bytes:\n"
                '    """Fetch a page.\n\n    Slowly.\n    """\n'
            )
        }
    )
    (node,) = (n for n in found.graph.nodes.values() if n.name == "fetch")
    assert node.signature == (
        "async def fetch( url: str, *, retries: int = 3, **options ) -> bytes"
    )
    assert node.docstring == "Fetch a page.\n\nSlowly."
    assert node.returns == "bytes"
    assert json.loads(node.decorators) == ["route('/x')"]
    assert (node.start_line, node.end_line) == (2, 8)
    assert [(p.name, p.annotation, p.default_value) for p in found.graph.parameters[node.id]] == [
        ("url", "str", ""),
        ("retries", "int", "3"),
        ("**options", "", ""),
    ]


def test_visibility_is_what_underscores_say(extracted):
    found = extracted(
        {"m.py": "def _a(): pass\nclass C:\n    def _b(self): pass\n    def __c(self): pass\n"
                 "    def __init__(self): pass\n"}
    )  # fmt: skip
    assert {n.name: n.visibility for n in found.graph.nodes.values()} == {
        "m": "public", "_a": "private", "C": "public", "_b": "protected", "__c": "private",
        "__init__": "public",
    }  # fmt: skip


def test_constants_keep_their_value(extracted):
    found = extracted({"m.py": "LIMIT = 3 * 7\nname: str = 'x'\n"})
    rows = {n.name: (n.kind, n.value, n.returns) for n in found.graph.nodes.values()}
    assert rows["LIMIT"] == ("constant", "3 * 7", "")
    assert rows["name"] == ("variable", "'x'", "str")


def test_environment_routes_and_entry_points_become_attributes(extracted):
    found = extracted(
        {
            "m.py": (
                "import os\n"
                "@app.get('/items')\ndef items(): return os.environ['TOKEN']\n"
                "@app.route('/u', methods=['GET', 'POST'])\ndef u(): os.getenv('HOME')\n"
                "@cli.command()\ndef sync_all(): pass\n"
                "def main(): pass\n"
                "if __name__ == '__main__':\n    main()\n"
            )
        }
    )
    names = {node.id: node.name for node in found.graph.nodes.values()}
    assert {
        (names[node], row.key, row.value)
        for node, rows in found.graph.attributes.items()
        for row in rows
    } == {
        ("items", "route", "GET /items"),
        ("items", "reads_env", "TOKEN"),
        ("u", "route", "GET /u"),
        ("u", "route", "POST /u"),
        ("u", "reads_env", "HOME"),
        ("sync_all", "route", "sync-all"),
        ("main", "entry_point", "main"),
        ("m", "entry_point", "__main__"),
    }


def test_modules_are_named_as_the_import_system_names_them(extracted):
    found = extracted(
        {
            "src/pkg/__init__.py": "",
            "src/pkg/inner/part.py": "",
            "libs/other/__init__.py": "",
            "libs/other/tool.py": "",
            "scripts/deploy.py": "",
        }
    )
    assert set(found.kinds()) == {
        "pkg", "pkg.inner.part", "other", "other.tool", "scripts.deploy",
    }  # fmt: skip
