"""The stage itself: list, parse what is not cached, link, write."""

import hashlib
import time
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import ExitCode, Reason
from nanodex.collector import collector_paused
from nanodex.errors import Interrupted, UserError
from nanodex.extractor.cache import RecordCache, record_key
from nanodex.extractor.graph_builder import FileRow, write_graph
from nanodex.extractor.inventory import count_lines, is_documentation, refusal
from nanodex.extractor.languages import suffix_table
from nanodex.extractor.linker import Linker
from nanodex.extractor.pool import Outcome, Task, parse_all
from nanodex.extractor.program import Unit
from nanodex.extractor.records import PackedRecord, unpack_definitions
from nanodex.source.checkout import Checkout, SourceFile


class ExtractMetrics(Contract):
    """What a run did, for people and for status."""

    files: int = Field(description="Files that the source listed, skipped ones included.")
    parsed: int
    cached: int = Field(description="Parsed files whose record came from the cache.")
    documentation: int = Field(description="Licences and documentation kept as text.")
    skipped: int
    failed: int
    symbols: int = Field(description="First-party nodes.")
    external_symbols: int
    edges: int
    unresolved: int = Field(description="References that no rule resolved.")
    seconds: float
    files_per_second: float = Field(description="Parsed files for each second of the run.")


def extract(
    checkout: Checkout,
    config: ExtractorConfig,
    *,
    out: Path,
    cache: Path | None,
    progress: Progress,
) -> ExtractMetrics:
    """Write the graph of `checkout` to the file `out`.

    Args:
        checkout: the listed files.
        config: languages and limits.
        out: path of graph.sqlite; replaced only by a whole graph.
        cache: folder for parse records; None keeps none.
        progress: told the files done.

    Raises:
        UserError: more files than allowed, nothing to parse, or a file changed meanwhile.
        Interrupted: `progress.stopping`; the records parsed so far are in the cache.
    """
    if len(checkout.files) > config.max_files:
        raise UserError(
            f"{len(checkout.files)} files are more than maxFiles ({config.max_files})",
            reason=Reason.INVALID_INPUT,
            hint="narrow the source with subPath, include or exclude, or raise extract.maxFiles",
        )
    started = time.monotonic()
    with collector_paused():
        return _extract(checkout, config, out, cache, progress, started)


def _extract(
    checkout: Checkout,
    config: ExtractorConfig,
    out: Path,
    cache: Path | None,
    progress: Progress,
    started: float,
) -> ExtractMetrics:
    records = RecordCache(cache) if cache is not None else None
    try:
        extraction = _Extraction(checkout, config, records, progress)
        extraction.list_files()
        extraction.parse()
    finally:
        if records is not None:
            records.close()
    linker = Linker(extraction.units())
    rows = sorted(extraction.rows.values(), key=lambda row: row.path)
    counts = write_graph(
        out,
        repository=checkout.repository,
        rows=rows,
        linker=linker,
        workers=config.workers,
    )
    seconds = time.monotonic() - started
    statuses = [row.status for row in rows]
    return ExtractMetrics(
        files=len(rows),
        parsed=statuses.count("parsed"),
        cached=extraction.cached,
        documentation=statuses.count("documentation"),
        skipped=statuses.count("skipped"),
        failed=statuses.count("failed"),
        symbols=counts.nodes,
        external_symbols=counts.external_nodes,
        edges=counts.edges,
        unresolved=counts.unresolved,
        seconds=round(seconds, 3),
        files_per_second=round(statuses.count("parsed") / max(seconds, 1e-9), 1),
    )


class _Extraction:
    """The state of one run up to linking: a row for each file and a record for each parsed one."""

    def __init__(
        self,
        checkout: Checkout,
        config: ExtractorConfig,
        records: RecordCache | None,
        progress: Progress,
    ) -> None:
        self._checkout = checkout
        self._config = config
        self._cache = records
        self._progress = progress
        self._suffixes = suffix_table(config.languages)
        self._records: dict[str, PackedRecord] = {}
        self._dialects: dict[str, str] = {}
        self._pending: dict[str, SourceFile] = {}
        self.rows: dict[str, FileRow] = {}
        self.cached = 0

    def list_files(self) -> None:
        """Read every file once: digest, status, and the record if it is cached."""
        for skipped in self._checkout.skipped:
            # A name that is no text is shown with its bytes escaped.
            path = skipped.path.encode("utf-8", "backslashreplace").decode()
            self.rows[path] = FileRow(path, size=skipped.size, reason=skipped.reason)
        for file in sorted(self._checkout.files, key=lambda file: file.path):
            self._list(file)
        self._check_stop()

    def _list(self, file: SourceFile) -> None:
        content = self._checkout.read(file)
        path = file.path.encode("utf-8", "backslashreplace").decode()
        row = FileRow(
            path, blob=hashlib.sha256(content).hexdigest(), size=len(content),
            lines=count_lines(content),
        )  # fmt: skip
        self.rows[path] = row
        language, dialect = self._suffixes.get(PurePosixPath(path).suffix.lower(), ("", ""))
        row.language = language
        documentation = not language and is_documentation(path)
        if not language and not documentation:
            row.reason = "Unsupported"
            return
        row.reason = refusal(path, content, max_file_bytes=self._config.max_file_bytes)
        if row.reason:
            return
        if documentation:
            row.status, row.content = "documentation", zlib.compress(content, 6)
            return
        self._dialects[path] = dialect
        key = record_key(row.blob, language=language, dialect=dialect)
        record = self._cache.get(key) if self._cache is not None else None
        if record is None:
            self._pending[path] = file
        else:
            self.cached += 1
            row.content = zlib.compress(content, 6)
            self._keep(path, record)

    def parse(self) -> None:
        """Parse what is pending; fills rows and records.

        Raises:
            UserError: nothing at all could be parsed.
        """
        paths = sorted(self._pending)
        tasks = [
            Task(
                index, size=self._pending[path].size, language=self.rows[path].language,
                dialect=self._dialects[path], load=self._loader(path),
            )
            for index, path in enumerate(paths)
        ]  # fmt: skip
        done = self.cached
        total = done + len(tasks)

        def report(outcome: Outcome) -> None:
            nonlocal done
            path = paths[outcome.index]
            row = self.rows[path]
            if outcome.record is None:
                row.status, row.reason = "failed", outcome.reason
            else:
                row.content = outcome.content
                self._keep(path, outcome.record)
                if self._cache is not None:
                    key = record_key(row.blob, language=row.language, dialect=self._dialects[path])
                    self._cache.put(key, outcome.record)
            done += 1
            self._progress.update(done, total, unit="files", message=path)

        parse_all(
            tasks,
            workers=self._config.workers,
            file_timeout_seconds=self._config.file_timeout_seconds,
            report=report,
            stopping=lambda: self._progress.stopping,
        )
        self._check_stop()
        if not self._records:
            raise UserError(
                "no file of a supported language could be parsed",
                reason=Reason.EMPTY_SOURCE,
                hint="check source.git.subPath, include and exclude, and extract.languages",
                exit_code=ExitCode.EMPTY_SOURCE,
            )

    def units(self) -> list[Unit]:
        """Decode the definitions of every record, in order of path."""
        units = []
        for path in sorted(self._records):
            packed = self._records.pop(path)
            definitions = unpack_definitions(packed.definitions)
            units.append(
                Unit(
                    path=path, language=self.rows[path].language, dialect=self._dialects[path],
                    namespace=definitions.namespace, symbols=definitions.symbols,
                    packed_bindings=packed.bindings, packed_uses=packed.uses,
                )
            )  # fmt: skip
        return units

    def _keep(self, path: str, record: PackedRecord) -> None:
        # The first half is decoded at once when it is linked; until then it stays packed.
        self._records[path] = record
        self.rows[path].status = "parsed"

    def _loader(self, path: str) -> Callable[[], bytes]:
        def load() -> bytes:
            content = self._checkout.read(self._pending[path])
            if hashlib.sha256(content).hexdigest() != self.rows[path].blob:
                raise UserError(
                    f"{path} changed while it was read",
                    reason=Reason.INVALID_INPUT,
                    hint="do not change the folder while it is read",
                )
            return content

        return load

    def _check_stop(self) -> None:
        if self._progress.stopping:
            raise Interrupted(
                "stopped while files were parsed",
                reason=Reason.INTERRUPTED,
                hint="run it again: parsed files are cached",
            )
