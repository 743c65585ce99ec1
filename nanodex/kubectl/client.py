"""Runs kubectl: the only module that starts it."""

import json
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NanodexError, TryAgain, UserError

Object = dict[str, Any]

_ANSWER_SECONDS = 60
_FORWARD_SECONDS = 15.0
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:[0-9]+) ->")
_SAID = re.compile(r"Error from server \((?P<reason>[A-Za-z]+)\): (?P<message>.*)", re.DOTALL)
_AWAY = (
    "unable to connect to the server",
    "was refused",
    "i/o timeout",
    "no such host",
    "service unavailable",
)


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """A port of a Service as it can be reached from here."""

    url: str
    process: "subprocess.Popen[str]"


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """One context of kubectl.

    Attributes:
        context: name of a context; empty: the current one.
        kubeconfig: path of a kubeconfig; empty: kubectl's own choice.
        namespace: namespace of experts; empty: the context's.
        program: what is run.
    """

    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    program: str = "kubectl"

    def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        """Return one object.

        Raises:
            UserError: there is none, or no right to see it.
            TryAgain: the API server cannot be reached.
        """
        return self._object(["get", resource, name, "--output=json"], namespace=namespace)

    def get_all(self, resource: str, *, everywhere: bool) -> list[Object]:
        """Return the objects of the namespace, or of all namespaces.

        Raises:
            UserError: no right to see them.
            TryAgain: the API server cannot be reached.
        """
        where = ["--all-namespaces"] if everywhere else []
        found = self._object(["get", resource, *where, "--output=json"])
        items: list[Object] = found.get("items") or []
        return items

    def merge(
        self, resource: str, name: str, patch: Mapping[str, Any], *, uid: str, namespace: str
    ) -> None:
        """Merge fields into the object with this uid.

        Raises:
            UserError: it is gone or another one, the fields are wrong, or there is no right.
            TryAgain: the API server cannot be reached.
        """
        body = json.dumps({**patch, "metadata": {"uid": uid}})
        words = ["patch", resource, name, "--type=merge", f"--patch={body}", "--output=name"]
        self._run(words, namespace=namespace)

    def token(self, account: str, *, audience: str, namespace: str = "") -> str:
        """Return a token of a ServiceAccount that ends by itself.

        Raises:
            UserError: there is no such account, or no right to its tokens.
            TryAgain: the API server cannot be reached.
        """
        words = ["create", "token", account, "--duration=10m", f"--audience={audience}"]
        return self._run(words, namespace=namespace).strip()

    def follow(self, words: Sequence[str], *, namespace: str = "") -> int:
        """Run kubectl with this terminal for its input and output; returns its exit code.

        Raises:
            UserError: there is no kubectl.
        """
        command = self._command(words, namespace=namespace)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal has told kubectl as well.
                return process.wait()

    @contextmanager
    def forwarded(
        self, service: str, port: int, *, namespace: str, local_port: int = 0
    ) -> Iterator[Forwarded]:
        """Forward a port of a Service to this machine while the block runs.

        Args:
            service: name of the Service.
            port: its port.
            namespace: where it is.
            local_port: port on 127.0.0.1; 0 takes any.

        Raises:
            UserError: there is no such Service, or no right to forward to its Pods.
            TryAgain: no Pod of it runs, or the API server cannot be reached.
        """
        local = f"{local_port or ''}:{port}"
        words = ["port-forward", f"service/{service}", local, "--address=127.0.0.1"]
        process = subprocess.Popen(
            self._command(words, namespace=namespace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stderr is not None
        # kubectl goes on talking; whoever does not listen would stop it.
        said, complained = _Lines(process.stdout), _Lines(process.stderr)
        with process:
            try:
                yield Forwarded(
                    url=f"http://{_address(process, said, complained)}", process=process
                )
            finally:
                process.terminate()
                said.join()
                complained.join()

    def _object(self, words: Sequence[str], *, namespace: str = "") -> Object:
        text = self._run(words, namespace=namespace)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{self.program} did not answer with JSON: {text[:200]!r}",
                reason=Reason.INVALID_INPUT,
                hint="look at what `kubectl get codeexperts -o json` prints",
            ) from error
        if not isinstance(found, dict):
            raise UserError(
                f"{self.program} did not answer with an object",
                reason=Reason.INVALID_INPUT,
                hint="look at what `kubectl get codeexperts -o json` prints",
            )
        return found

    def _run(self, words: Sequence[str], *, namespace: str = "") -> str:
        try:
            done = subprocess.run(
                self._command(words, namespace=namespace),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_ANSWER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refusal("the API server did not answer: i/o timeout") from error
        if done.returncode != 0:
            raise _refusal(done.stderr)
        return done.stdout

    def _command(self, words: Sequence[str], *, namespace: str) -> list[str]:
        program = shutil.which(self.program)
        if program is None:
            raise UserError(
                f"there is no {self.program} on the PATH",
                reason=Reason.INVALID_INPUT,
                hint="install kubectl; this command is its plugin and runs it",
            )
        options = {
            "--context": self.context,
            "--kubeconfig": self.kubeconfig,
            "--namespace": namespace or self.namespace,
        }
        chosen = [f"{option}={value}" for option, value in options.items() if value]
        return [program, *words, *chosen]


class _Lines(threading.Thread):
    """Reads what a process says, line by line, to its end."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.lines: queue.Queue[str] = queue.Queue()
        self.start()

    def run(self) -> None:
        """Read until the process closes its end; an empty line is the end."""
        for line in self._stream:
            self.lines.put(line)
        self.lines.put("")


def _address(process: "subprocess.Popen[str]", said: _Lines, complained: _Lines) -> str:
    """Return host and port once kubectl listens."""
    try:
        found = _FORWARDING.match(said.lines.get(timeout=_FORWARD_SECONDS))
    except queue.Empty:
        found = None
    if found is None:
        process.terminate()
        complained.join()
        words = "".join(complained.lines.queue)
        raise _refusal(words or "kubectl port-forward did not begin: i/o timeout")
    return found[1]


def _refusal(stderr: str) -> NanodexError:
    """Turn what kubectl says into our error."""
    text = " ".join(stderr.split())[:1000] or "kubectl failed and did not say why"
    said = _SAID.search(text)
    reason, message = (said["reason"], said["message"]) if said else ("", text)
    if any(words in text.lower() for words in _AWAY) or "pod is not running" in text:
        return TryAgain(
            message,
            reason=Reason.SERVER_UNAVAILABLE,
            hint="try again in a moment; `kubectl version` says whether the cluster answers",
            exit_code=ExitCode.SERVER_UNAVAILABLE,
        )
    if reason in ("Forbidden", "Unauthorized") or "must be logged in" in text:
        return UserError(
            message,
            reason=Reason.AUTHENTICATION_FAILED,
            hint="ask an administrator for the right, or choose another --context",
            exit_code=ExitCode.AUTHENTICATION_FAILED,
        )
    if reason == "NotFound":
        hint = "kubectl nanodex status --all-namespaces lists what there is"
    elif "doesn't have a resource type" in text:
        hint = "install nanodex in the cluster first, or choose another --context"
    else:
        hint = "correct what the message names"
    return UserError(message, reason=Reason.INVALID_INPUT, hint=hint)
