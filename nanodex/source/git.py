"""Runs git with a configuration of its own: not the user's, the machine's or a stranger's.

One `Git` is one conversation with one repository: a private folder holds the configuration and the
credentials (mode 0600 in 0700), and goes away with it. Secrets are never arguments nor part of an
address; they reach git through that folder only.
"""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import TryAgain
from nanodex.source.credentials import Credentials
from nanodex.source.failures import explain, too_large, unavailable

# How the machine reaches the network is its own business; the rest of its environment is not git's.
_KEPT_ENVIRONMENT = (
    "PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY",
    "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip

# safe.directory: git asks who owns a repository because its configuration could have commands run.
# Here every such setting is overridden, and a mounted repository often belongs to another user.
_SETTINGS = """\
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tsymlinks = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tbigFileThreshold = 16m
[protocol]
\tversion = 2
[fetch]
\trecurseSubmodules = false
\tunpackLimit = 1
\twriteCommitGraph = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[submodule]
\trecurse = false
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
[credential]
\thelper =
[safe]
\tdirectory = *
"""

# What a repository's own configuration could set to have a command run while files are listed.
_OVERRIDES = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null"}

# The helper is a line of shell that holds no secret: it prints a file that only we can read.
_HELPER = '!f() { test \\"$1\\" = get && cat \\"$NANODEX_GIT_CREDENTIAL\\"; }; f'


@dataclass(frozen=True)
class Git:
    """A way to run git against one repository."""

    url: str
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    deadline: float  # time.monotonic()

    def run(
        self, *arguments: str, work: Path, max_bytes: int, growing: Path | None = None
    ) -> bytes:
        """Run git and return what it printed.

        Args:
            arguments: the command and its arguments.
            work: folder that git runs in.
            max_bytes: how much may be printed and stand in `growing`.
            growing: folder that git writes to; None where it only prints.

        Raises:
            UserError, TryAgain: git failed, see nanodex.source.failures, or wrote too much.
        """
        with (
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            self.start(
                *arguments, work=work, stdout=stdout.fileno(), stderr=stderr.fileno()
            ) as git,
        ):
            running = True
            while running:
                try:
                    git.wait(timeout=0.25)
                    running = False
                except subprocess.TimeoutExpired:
                    if time.monotonic() > self.deadline:
                        raise unavailable(f"{self.url} did not answer in time") from None
                printed = sum(os.fstat(stream.fileno()).st_size for stream in (stdout, stderr))
                if printed + (_size(growing) if growing else 0) > max_bytes:
                    raise too_large(
                        f"{self.url} sent more than the {max_bytes} bytes that are allowed"
                    )
            if git.returncode != 0:
                stderr.seek(0)
                said = stderr.read(1 << 16).decode(errors="replace")
                raise explain(said, url=self.url, secrets=self.secrets)
            stdout.seek(0)
            return stdout.read(max_bytes)

    @contextmanager
    def start(
        self,
        *arguments: str,
        work: Path,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.DEVNULL,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start git in a process group of its own; the group is killed when the block ends.

        Raises:
            TryAgain: there is no git here.
        """
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=work,
                env=dict(self.environment),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TryAgain(
                "git is not installed",
                reason=Reason.GIT_UNAVAILABLE,
                hint="install git 2.34 or later",
                exit_code=ExitCode.GIT_UNAVAILABLE,
            ) from None
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    # What was still to be sent to a git that is dead has no reader.
                    with suppress(BrokenPipeError):
                        stream.close()
            process.wait()


@contextmanager
def open_git(url: str, *, credentials: Credentials | None, timeout_seconds: float) -> Iterator[Git]:
    """Prepare a conversation with the repository at `url`; an empty one talks to no server."""
    with tempfile.TemporaryDirectory(prefix="nanodex-git-") as name:
        home = Path(name)
        granted = credentials or Credentials()
        (home / "home").mkdir(mode=0o700)
        _write_secret(home / "config", _configuration(url, granted))
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        environment |= {
            "HOME": str(home / "home"),
            "XDG_CONFIG_HOME": str(home / "home"),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(home / "config"),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": protocol(url),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_SSH_COMMAND": "false",
            "GIT_CONFIG_COUNT": str(len(_OVERRIDES)),
        }
        for index, (key, value) in enumerate(_OVERRIDES.items()):
            environment[f"GIT_CONFIG_KEY_{index}"] = key
            environment[f"GIT_CONFIG_VALUE_{index}"] = value
        if granted.password:
            answer = f"username={granted.username}\npassword={granted.password}\n"
            _write_secret(home / "credential", answer)
            environment["NANODEX_GIT_CREDENTIAL"] = str(home / "credential")
        if granted.ca_certificates:
            _write_secret(home / "ca.crt", granted.ca_certificates)
            environment["GIT_SSL_CAINFO"] = str(home / "ca.crt")
        if granted.identity:
            # A mounted Secret is often readable for a group, and ssh refuses such a key.
            _write_secret(home / "identity", granted.identity.rstrip("\n") + "\n")
            _write_secret(home / "known_hosts", granted.known_hosts)
            environment["GIT_SSH_COMMAND"] = shlex.join(ssh_command(home))
        yield Git(
            url=url,
            environment=environment,
            secrets=granted.secrets,
            deadline=time.monotonic() + timeout_seconds,
        )


def protocol(url: str) -> str:
    """Return the one transport that git may use for `url`; it holds for redirects as well."""
    for scheme in ("https", "file"):
        if url.startswith(f"{scheme}://"):
            return scheme
    return "ssh" if url else "none"


def ssh_command(home: Path) -> Sequence[str]:
    """Return the ssh command for key and known hosts in `home`; it asks and trusts nobody."""
    options = (
        "IdentitiesOnly=yes", "IdentityAgent=none", f"UserKnownHostsFile={home / 'known_hosts'}",
        "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", "UpdateHostKeys=no",
        "BatchMode=yes", "ForwardAgent=no", "ClearAllForwardings=yes", "PermitLocalCommand=no",
        "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4",
    )  # fmt: skip
    flags = [flag for option in options for flag in ("-o", option)]
    return ["ssh", "-F", "/dev/null", "-i", str(home / "identity"), *flags]


def _configuration(url: str, credentials: Credentials) -> str:
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc}"
    sections = [_SETTINGS, "[http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60\n"]
    if credentials.bearer_token:
        # git would send the header to whatever host the server redirects to.
        sections.append("\tfollowRedirects = false\n")
        header = _quote(f"Authorization: Bearer {credentials.bearer_token}")
        sections.append(f"[http {_quote(server)}]\n\textraHeader = {header}\n")
    if credentials.password:
        # For this server alone: a redirect to another one finds no helper there.
        sections.append(f'[credential {_quote(server)}]\n\thelper = "{_HELPER}"\n')
    if url:
        sections.append(f'[remote "origin"]\n\turl = {_quote(url)}\n')
    return "".join(sections)


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue  # git renames its temporary files while it works
    return total
