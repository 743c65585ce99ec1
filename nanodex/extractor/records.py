"""What one file says, before anything is known of the other files.

A record is a pure function of (content, dialect, grammar version, query pack version), so it can be
cached under those four. It therefore holds no path and no module name: qualified names in it are
relative to the file, and symbols refer to each other by their index in `FileRecord.symbols`.
On disk and between processes a record is JSON, never pickle.
"""

from typing import Any, NamedTuple

import msgspec

# An expression, as far as a resolver needs it: nested JSON lists whose first item names the form.
# The forms are a language's own; the framework only carries them.
Expr = list[Any]


class Parameter(NamedTuple):
    """A parameter of a function, as written. Bytes are those of its name."""

    name: str
    annotation: str
    default_value: str
    start_byte: int
    end_byte: int


class Symbol(NamedTuple):
    """A definition. Lines count from 1, bytes from 0; texts are the source's own."""

    kind: str  # module class interface enum function method variable constant exception
    name: str
    local_name: str  # dotted, within the file: "Class.method"; "" for the module itself
    parent: int  # index of the enclosing symbol; -1 for the module
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    name_start: int
    name_end: int
    signature: str
    docstring: str
    visibility: str  # public protected private
    value: str = ""
    returns: str = ""
    decorators: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()


class Binding(NamedTuple):
    """What a scope knows of a name: an import, an annotation, an assigned value, a narrowing.

    It holds from `start_byte` to `block_end`, the end of the block that it stands in.
    """

    scope: int  # index of the symbol whose scope it belongs to
    name: str
    form: str  # the language's own word: import, annotation, assign ...
    value: Any  # JSON: mostly an Expr or None; some forms of a language hold a text
    start_byte: int
    block_end: int


class Reference(NamedTuple):
    """A use of something: it becomes an edge or an unresolved row, never nothing.

    `start_byte` and `end_byte` are those of the name token that names the target: `get` in
    `self.client.get(url)`.
    """

    relationship: str  # calls imports extends implements raises instantiates
    source: int  # index of the symbol that holds it
    scope: int  # index of the symbol in whose scope names are looked up
    name: str  # as written, white space folded
    line: int
    start_byte: int
    end_byte: int
    target: Expr | None  # None: the form is not one that a name stands for


class RaiseSite(NamedTuple):
    """A statement that raises. Bytes are those of the whole statement."""

    source: int
    exception: str
    message: str
    condition: str
    line: int
    start_byte: int
    end_byte: int


class Attribute(NamedTuple):
    """Something further that the source states of a symbol, see the table `attributes`."""

    source: int
    key: str
    value: str
    line: int
    start_byte: int
    end_byte: int


class FileRecord(NamedTuple):
    """All of one file. `symbols[0]` is the module, and parents come before their children."""

    namespace: str  # package (Java), namespace ...; "" where the path alone gives the name
    has_errors: bool  # the grammar met something that it does not know
    symbols: list[Symbol]
    bindings: list[Binding]
    references: list[Reference]
    raise_sites: list[RaiseSite]
    attributes: list[Attribute]


class Definitions(NamedTuple):
    """The part of a record that linking needs of every file at once."""

    namespace: str
    has_errors: bool
    symbols: list[Symbol]


class Uses(NamedTuple):
    """The part of a record that linking needs of one file at a time."""

    references: list[Reference]
    raise_sites: list[RaiseSite]
    attributes: list[Attribute]


# How a packed record is laid out: raised with every change, for records are kept between runs.
RECORD_FORMAT = 2


class PackedRecord(NamedTuple):
    """A record as it travels and rests: JSON, in parts that are needed at different times."""

    definitions: bytes
    bindings: bytes  # by scope: a scope's are needed once a name is looked up in it
    uses: bytes


def pack(record: FileRecord) -> PackedRecord:
    """Encode a record."""
    scopes: dict[int, list[Binding]] = {}
    for binding in record.bindings:
        scopes.setdefault(binding.scope, []).append(binding)
    return PackedRecord(
        definitions=msgspec.json.encode(
            Definitions(record.namespace, record.has_errors, record.symbols)
        ),
        bindings=msgspec.json.encode(scopes),
        uses=msgspec.json.encode(Uses(record.references, record.raise_sites, record.attributes)),
    )


_DEFINITIONS = msgspec.json.Decoder(Definitions)
_SCOPES = msgspec.json.Decoder(dict[int, msgspec.Raw])
_BINDINGS = msgspec.json.Decoder(list[Binding])
_USES = msgspec.json.Decoder(Uses)


def unpack_definitions(packed: bytes) -> Definitions:
    """Decode the definitions of a record."""
    return _DEFINITIONS.decode(packed)


def unpack_scopes(packed: bytes) -> dict[int, msgspec.Raw]:
    """Return the bindings of a record by the index of their scope, each still packed."""
    return _SCOPES.decode(packed)


def unpack_bindings(packed: msgspec.Raw) -> list[Binding]:
    """Decode the bindings of one scope."""
    return _BINDINGS.decode(packed)


def unpack_uses(packed: bytes) -> Uses:
    """Decode the uses of a record."""
    return _USES.decode(packed)
