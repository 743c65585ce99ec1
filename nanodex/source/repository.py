"""Reads one snapshot from a git server: which commit a ref means, and the files of a commit."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanodex.api.code_expert import GitRef, GitSource
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NanodexError, TryAgain, UserError
from nanodex.source.checkout import DEFAULT_LIMITS, Checkout, SkippedFile, SourceFile, SourceLimits
from nanodex.source.credentials import Credentials
from nanodex.source.failures import too_large
from nanodex.source.git import Git, open_git
from nanodex.source.objects import Objects
from nanodex.source.selection import Selection, compile_selection, is_lfs_pointer, refusal, shown

_LIST_SECONDS = 120.0
_LIST_BYTES = 1 << 26

_NOT_FILES = {"120000": "Symlink", "160000": "Submodule"}


def resolve(git: GitSource, *, credentials: Credentials | None = None) -> str:
    """Return the id of the commit that `git.ref` means now; nothing is cloned.

    A commit is returned as it is: whether the server has it shows when it is fetched.

    Raises:
        UserError: RefNotFound, AuthenticationFailed, or there is no repository.
        TryAgain: GitUnavailable.
    """
    if git.ref.commit is not None:
        return git.ref.commit
    with (
        open_git(
            git.url, credentials=_usable(git, credentials), timeout_seconds=_LIST_SECONDS
        ) as run,
        tempfile.TemporaryDirectory(prefix="nanodex-git-") as work,
    ):
        name = _full_name(git.ref)
        answer = run.run(
            "ls-remote",
            "--symref",
            "--end-of-options",
            "origin",
            "HEAD",
            name,
            f"{name}^{{}}",
            work=Path(work),
            max_bytes=_LIST_BYTES,
        )
    refs: dict[str, str] = {}
    for line in answer.decode(errors="replace").splitlines():
        value, _, ref = line.partition("\t")
        refs.setdefault(ref if not value.startswith("ref: ") else "default", value)
    # An annotated tag is an object of its own; ^{} is the commit behind it.
    found = refs.get(f"{name}^{{}}", refs.get(name, ""))
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", found):
        raise _no_ref(git, default=refs.get("default", "").removeprefix("ref: refs/heads/"))
    return found


def checkout(
    git: GitSource,
    *,
    commit: str,
    destination: Path,
    credentials: Credentials | None = None,
    limits: SourceLimits = DEFAULT_LIMITS,
) -> Checkout:
    """Write the files of `commit` that `git` selects below `destination`.

    `include` and `exclude` are relative to the root of the repository, and so are the paths of the
    result: an answer about a file names it as people know it, whatever `sub_path` is.

    Args:
        git: where, and which part.
        commit: full id, as `resolve` returns it.
        destination: folder to fill; it must be absent or empty, and is removed after an error.
        credentials: for a server that asks.
        limits: what the repository may cost.

    Raises:
        UserError: RefNotFound (no such commit), AuthenticationFailed, EmptySource, or the
            repository is larger than the limits.
        TryAgain: GitUnavailable.
    """
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
        raise ValueError(f"{commit!r} is not a full commit id")
    selection = compile_selection(include=git.include, exclude=git.exclude)
    with (
        _filled(destination) as root,
        open_git(
            git.url,
            credentials=_usable(git, credentials),
            timeout_seconds=limits.timeout_seconds,
        ) as run,
        tempfile.TemporaryDirectory(prefix=".nanodex-git-", dir=destination.parent) as name,
    ):
        repository = Path(name)
        _fetch(run, git, commit=commit, repository=repository, limits=limits)
        with Objects(run, repository=repository) as objects:
            files, skipped = _write(
                objects, git, commit=commit, root=root, selection=selection, limits=limits
            )
        require_files(files, skipped, where=git.url)
    return Checkout(
        root=root,
        repository=git.repository_name,
        commit=commit,
        files=tuple(sorted(files, key=lambda file: file.path)),
        skipped=tuple(sorted(skipped, key=lambda file: file.path)),
    )


def require_files(files: list[SourceFile], skipped: list[SkippedFile], *, where: str) -> None:
    """Raise when nothing was taken.

    Raises:
        UserError: EmptySource.
    """
    if files:
        return
    reasons = Counter(file.reason for file in skipped)
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    raise UserError(
        f"{where} has no file to learn" + (f" (left out: {left_out})" if left_out else ""),
        reason=Reason.EMPTY_SOURCE,
        hint="check the ref, subPath, include and exclude",
        exit_code=ExitCode.EMPTY_SOURCE,
    )


def _fetch(
    run: Git, git: GitSource, *, commit: str, repository: Path, limits: SourceLimits
) -> None:
    quota = limits.max_fetch_bytes
    algorithm = "sha256" if len(commit) == 64 else "sha1"
    run.run(
        "init",
        "--quiet",
        "--bare",
        "--template=",
        f"--object-format={algorithm}",
        ".",
        work=repository,
        max_bytes=quota,
        growing=repository,
    )
    clean_config = (repository / "config").read_bytes()
    # Large blobs stay on the server, where it can leave them out. transfer.fsckObjects stays off:
    # it refuses whole repositories for old quirks, and what it looks for (.git and .. in trees)
    # is looked at here for each path.
    options = (
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
        f"--filter=blob:limit={limits.max_file_bytes + 1}",
    )  # fmt: skip
    try:
        run.run(
            *options,
            "--depth=1",
            "--end-of-options",
            "origin",
            commit,
            work=repository,
            max_bytes=quota,
            growing=repository,
        )
    except TryAgain:
        # A server may hand out nothing but the tips of its refs, or know no shallow clones.
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        run.run(
            *options,
            "--end-of-options",
            "origin",
            *refs,
            work=repository,
            max_bytes=quota,
            growing=repository,
        )
    # Without this git would go back to the server for each blob that was left out.
    (repository / "config").write_bytes(clean_config)
    if _kind(run, f"{commit}^{{commit}}", repository=repository) != "commit":
        raise _no_commit(git, commit)
    if _kind(run, f"{commit}:{git.sub_path.strip('/')}", repository=repository) != "tree":
        raise UserError(
            f"{git.url} has no folder {git.sub_path} at {commit[:12]}",
            reason=Reason.EMPTY_SOURCE,
            hint="check source.git.subPath",
            exit_code=ExitCode.EMPTY_SOURCE,
        )


def _kind(run: Git, name: str, *, repository: Path) -> str:
    """Return commit, tree, blob or tag; empty where the repository has nothing by that name."""
    arguments = ("--git-dir=.", "cat-file", "-t", name)
    try:
        answer = run.run(*arguments, work=repository, max_bytes=256)
    except NanodexError:
        return ""
    return answer.decode("ascii").strip()


def _write(
    objects: Objects,
    git: GitSource,
    *,
    commit: str,
    root: Path,
    selection: Selection,
    limits: SourceLimits,
) -> tuple[list[SourceFile], list[SkippedFile]]:
    files: list[SourceFile] = []
    skipped: list[SkippedFile] = []
    seen: set[bytes] = set()
    total = 0
    prefix = git.sub_path.strip("/") + "/" if git.sub_path.strip("/") else ""
    # The whole list comes first: a repository that lists too much is refused before it is written.
    listed = [
        (entry, raw, path)
        for entry in objects.entries(f"{commit}:{prefix}", max_entries=limits.max_entries)
        if selection.takes(path := shown(raw := prefix.encode() + entry.path))
    ]
    for entry, raw, path in listed:
        if raw in seen:
            # A crafted tree; git itself never writes a name twice.
            skipped.append(SkippedFile(f"{path}\\again-{len(skipped)}", 0, "PathConflict"))
            continue
        seen.add(raw)
        reason = refusal(raw, max_depth=limits.max_depth) or _not_a_file(entry.mode)
        size = None if reason else objects.size(entry.object_id)
        if size is None or size > limits.max_file_bytes:
            skipped.append(SkippedFile(path, 0, reason or "TooLarge"))
            continue
        total += size
        if len(files) >= limits.max_files or total > limits.max_total_bytes:
            raise too_large(
                f"{git.url} has more than {limits.max_files} files or "
                f"{limits.max_total_bytes} bytes to learn"
            )
        content = objects.content(entry.object_id)
        if is_lfs_pointer(content):
            skipped.append(SkippedFile(path, size, "LfsPointer"))
        elif _place(root / path, content):
            files.append(SourceFile(path, size))
        else:
            skipped.append(SkippedFile(path, size, "PathConflict"))
    return files, skipped


def _not_a_file(mode: str) -> str:
    return "" if mode.startswith("100") else _NOT_FILES.get(mode, "NotAFile")


def _place(path: Path, content: bytes) -> bool:
    """Write a new file; False where the name is taken by another spelling or by a folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(content)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    return True


@contextmanager
def _filled(destination: Path) -> Iterator[Path]:
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise UserError(
            f"{destination} is not empty",
            reason=Reason.INVALID_INPUT,
            hint="name a folder that does not exist",
        )
    try:
        yield destination
    except BaseException:
        shutil.rmtree(destination, ignore_errors=True)
        raise


def _usable(git: GitSource, credentials: Credentials | None) -> Credentials | None:
    over_ssh = not git.url.startswith(("https://", "file://"))
    if over_ssh and not (credentials and credentials.identity):
        raise UserError(
            f"{git.url} is reached over ssh, and there is no key for it",
            reason=Reason.AUTHENTICATION_FAILED,
            hint="name a Secret with identity and known_hosts in secretRef",
            exit_code=ExitCode.AUTHENTICATION_FAILED,
        )
    return credentials


def _full_name(ref: GitRef) -> str:
    return f"refs/tags/{ref.tag}" if ref.tag is not None else f"refs/heads/{ref.branch}"


def _no_ref(git: GitSource, *, default: str) -> UserError:
    kind, name = ("tag", git.ref.tag) if git.ref.tag is not None else ("branch", git.ref.branch)
    known = f"; the default branch is {default}" if default else "; the repository has no commit"
    return UserError(
        f"{git.url} has no {kind} {name}",
        reason=Reason.REF_NOT_FOUND,
        hint=f"check source.git.ref{known}",
        exit_code=ExitCode.REF_NOT_FOUND,
    )


def _no_commit(git: GitSource, commit: str) -> UserError:
    return UserError(
        f"{git.url} has no commit {commit}, or no branch and no tag leads to it any more",
        reason=Reason.REF_NOT_FOUND,
        hint="push the commit, or name a branch or a tag in source.git.ref",
        exit_code=ExitCode.REF_NOT_FOUND,
    )
