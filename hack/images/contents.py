"""What is in an image: its files read once, as the stream that the tool exports."""

import base64
import csv
import email.message
import email.parser
import hashlib
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import IO

# Files above this size hold no text that anybody wrote.
_TEXT_BYTES = 1 << 20
_PROGRAM_FOLDERS = re.compile(r"(usr/(local/)?)?s?bin|opt/[^/]+/bin")
_METADATA = re.compile(r"(opt/[^/]+/site-packages/[^/]+\.dist-info)/METADATA")
_RECORD = re.compile(r"((opt/[^/]+/site-packages)/([^/]+\.dist-info))/RECORD")
_STANZA = re.compile(r"var/lib/dpkg/status\.d/[^/]+")
_COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
# Of a distribution that only asks for others.
_NOTHING = ("holds no files",)
_DEP5 = re.compile(r"^License: *(\S.*)$", re.MULTILINE)
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----"
)


@dataclass(frozen=True, kw_only=True)
class Package:
    """One Python or Debian package of an image."""

    kind: str  # pypi | deb
    name: str
    version: str
    licences: tuple[str, ...]
    summary: str = ""


@dataclass(kw_only=True)
class Contents:
    """What the checks and the bill of materials are made from."""

    bytes: int = 0
    # Files with the setuid or setgid bit.
    raised: list[str] = field(default_factory=list)
    # What somebody other than root owns, or may write.
    writable: list[str] = field(default_factory=list)
    programs: set[str] = field(default_factory=set)
    compiled: int = 0
    sources: int = 0
    packages: list[Package] = field(default_factory=list)
    # Files that hold one of the traces that were looked for.
    traces: list[str] = field(default_factory=list)


def certificates(pem: bytes) -> set[bytes]:
    """Return the bodies of the certificates of a PEM file, without white space."""
    return {b"".join(body.split()) for body in _CERTIFICATE.findall(pem)}


def read_contents(
    stream: IO[bytes], *, traces: Iterable[bytes] = (), foreign: Iterable[bytes] = ()
) -> Contents:
    """Read all files of an image.

    Args:
        stream: The tar that `Tool.exported` opens.
        traces: Bytes that no file may hold, such as the address of a package index.
        foreign: Certificates that no file may hold, as `certificates` returns them. A package may
            hold them where its wheel came with that very file.
    """
    contents = Contents()
    looked_for, not_ours = set(traces), set(foreign)
    stanzas: dict[str, email.message.Message] = {}
    python: dict[str, Package] = {}
    # Distributions that have no file but those that describe them.
    empty: set[str] = set()
    copyrights: dict[str, tuple[str, ...]] = {}
    # Digests of files that hold a certificate of `foreign`, and of those that wheels came with.
    trusting: dict[str, str] = {}
    published: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = str(PurePosixPath(member.name.lstrip("./")))
            _note_rights(member, name=name, contents=contents)
            if not member.isfile():
                continue
            contents.bytes += member.size
            contents.compiled += name.endswith(".pyc")
            contents.sources += name.endswith(".py") and name.startswith("opt/")
            if member.size > _TEXT_BYTES:
                continue
            reader = archive.extractfile(member)
            data = reader.read() if reader else b""
            if any(trace in data for trace in looked_for):
                contents.traces.append(name)
            elif not_ours & certificates(data):
                trusting[name] = _recorded_digest(data)
            if found := _METADATA.fullmatch(name):
                python[found[1]] = _python_package(data)
            elif found := _RECORD.fullmatch(name):
                digests = {row[0]: row[1] for row in csv.reader(data.decode().splitlines())}
                if all(file.startswith(f"{found[3]}/") for file in digests):
                    empty.add(found[1])
                published |= {f"{found[2]}/{file}": digest for file, digest in digests.items()}
            elif _STANZA.fullmatch(name):
                stanzas[PurePosixPath(name).name] = _message(data)
            elif found := _COPYRIGHT.fullmatch(name):
                copyrights[found[1]] = _debian_licences(data)
    contents.traces += [n for n, digest in trusting.items() if published.get(n) != digest]
    for place, package in python.items():
        nothing = not package.licences and place in empty
        contents.packages.append(replace(package, licences=_NOTHING) if nothing else package)
    for name, stanza in stanzas.items():
        contents.packages.append(
            Package(
                kind="deb",
                name=name,
                version=str(stanza["Version"]),
                licences=copyrights.get(name, ()),
                summary=str(stanza["Description"]).partition("\n")[0],
            )
        )
    contents.packages.sort(key=lambda package: (package.kind, package.name))
    return contents


def _note_rights(member: tarfile.TarInfo, *, name: str, contents: Contents) -> None:
    if member.issym():
        if _PROGRAM_FOLDERS.fullmatch(str(PurePosixPath(name).parent)):
            contents.programs.add(PurePosixPath(name).name)
        return
    if member.mode & 0o6000 and not member.isdir():
        contents.raised.append(name)
    if (member.uid or member.mode & 0o022) and name not in ("tmp", "var/tmp", "cache"):
        contents.writable.append(name)
    if (
        member.isfile()
        and member.mode & 0o111
        and _PROGRAM_FOLDERS.fullmatch(str(PurePosixPath(name).parent))
    ):
        contents.programs.add(PurePosixPath(name).name)


def _recorded_digest(data: bytes) -> str:
    """Return a digest as a wheel's RECORD has it (PEP 376, PEP 427)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _message(data: bytes) -> email.message.Message:
    return email.parser.Parser().parsestr(data.decode(errors="replace"), headersonly=True)


def _python_package(data: bytes) -> Package:
    metadata = _message(data)
    expression = metadata["License-Expression"]
    classifiers = [
        str(value).rpartition(" :: ")[2]
        for value in metadata.get_all("Classifier", [])
        if str(value).startswith("License :: ") and not str(value).endswith(":: OSI Approved")
    ]
    # The field License holds whole texts too.
    free = str(metadata["License"] or "").strip().partition("\n")[0][:80]
    named = [str(expression)] if expression else classifiers or ([free] if free else [])
    # Some name no licence and hold its text.
    texts = [f"see {file}" for file in metadata.get_all("License-File", [])]
    return Package(
        kind="pypi",
        name=str(metadata["Name"]),
        version=str(metadata["Version"]),
        licences=tuple(named or texts),
        summary=str(metadata["Summary"] or ""),
    )


def _debian_licences(data: bytes) -> tuple[str, ...]:
    text = data.decode(errors="replace")
    named = sorted({line.strip() for line in _DEP5.findall(text)})
    # Files that are older than the format hold the licences' texts.
    return tuple(named) if text.startswith("Format:") and named else ("see copyright file",)
