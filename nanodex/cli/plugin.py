"""`kubectl nanodex`: what a person does with the experts of a cluster; runs that person's kubectl.

The program is called kubectl-nanodex, and kubectl finds it by this name.
"""

import os
import uuid
from typing import Annotated

import typer
from rich.markup import escape

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from nanodex.api.status import StageState
from nanodex.cli.output import Output, OutputOption, as_json, console, emit, reports_errors
from nanodex.cli.plugin_views import print_expert, print_experts
from nanodex.cli.serving import KEY_VARIABLE
from nanodex.errors import TryAgain, UserError
from nanodex.kubectl import (
    Expert,
    Kubectl,
    candidate_pin,
    change,
    earlier_pin,
    find_expert,
    list_experts,
    pin_patch,
    retry_patch,
    service_of,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Look at the experts of a cluster, ask them, and decide which version answers.",
    epilog="An expert is NAME or NAMESPACE/NAME. Every command runs kubectl with your kubeconfig.",
)

ExpertArgument = Annotated[str, typer.Argument(help="NAME or NAMESPACE/NAME.")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; empty: the context's.")
]
ContextOption = Annotated[str, typer.Option(help="Context of the kubeconfig; empty: the current.")]
KubeconfigOption = Annotated[str, typer.Option(help="Path of a kubeconfig; empty: kubectl's.")]


@app.command()
@reports_errors
def status(
    expert: Annotated[str, typer.Argument(help="NAME or NAMESPACE/NAME; empty: all.")] = "",
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Experts of all namespaces.")
    ] = False,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how far experts are: stages, failures with what to do, versions, replicas.

    Example: kubectl nanodex status payments
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    if expert:
        found = find_expert(kubectl, expert)
        emit(found.status, output=output, text=lambda: print_expert(found))
        return
    experts = list_experts(kubectl, everywhere=everywhere)
    emit(
        {one.model: one.status.model_dump(mode="json", by_alias=True) for one in experts},
        output=output,
        text=lambda: print_experts(experts),
    )


@app.command()
@reports_errors
def logs(
    expert: ExpertArgument,
    stage: Annotated[
        Task | None, typer.Argument(help="Which stage; absent: the one under way or failed.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay and show more.")] = False,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
) -> None:
    """Show what the Pods of a stage say.

    Example: kubectl nanodex logs payments train --follow
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    words = [
        "logs",
        f"--selector=batch.kubernetes.io/job-name={_job(found, stage)}",
        "--all-containers",
        "--prefix",
        "--tail=-1",
        "--max-log-requests=128",
        *(["--follow"] if follow else []),
    ]
    raise typer.Exit(kubectl.follow(words, namespace=found.namespace))


@app.command()
@reports_errors
def ask(
    expert: ExpertArgument,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    candidate: Annotated[
        bool, typer.Option(help="Ask the version that waits for promotion.")
    ] = False,
    service_account: Annotated[
        str, typer.Option(help="ServiceAccount of the expert's namespace to ask as.")
    ] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask an expert through a forwarded port; the key is taken from NANODEX_API_KEY.

    Example: kubectl nanodex ask payments 'Where is `Ledger.post` defined?'
    """
    from nanodex.inference import ask as ask_server

    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    model = _candidate(found) if candidate else found.model
    service = service_of(found)
    key = os.environ.get(KEY_VARIABLE, "")
    if service_account:
        key = kubectl.token(service_account, audience="nanodex", namespace=found.namespace)
    with kubectl.forwarded(service.name, service.port, namespace=service.namespace) as forwarded:
        pieces = ask_server(forwarded.url, model, question, max_tokens=max_tokens, api_key=key)
        if output is Output.JSON:
            answer = "".join(pieces)
            typer.echo(as_json({"model": model, "question": question, "answer": answer}))
            return
        for piece in pieces:
            typer.echo(piece, nl=False)
        typer.echo()


@app.command("open")
@reports_errors
def open_port(
    expert: ExpertArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port here; 0 takes any.")] = 8000,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
) -> None:
    """Forward the server of an expert to this machine, until Ctrl-C.

    Example: kubectl nanodex open payments --port 8000
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    service = service_of(found)
    with kubectl.forwarded(
        service.name, service.port, namespace=service.namespace, local_port=port
    ) as forwarded:
        console.print(f"[bold]{forwarded.url}/v1[/] answers for {escape(found.model)}")
        try:
            forwarded.process.wait()
        except KeyboardInterrupt:
            return
    raise TryAgain(
        "the forwarded port was closed: its Pod ended",
        reason=Reason.SERVER_UNAVAILABLE,
        hint="open it again; kubectl forwards to one Pod and not to another when it ends",
        exit_code=ExitCode.SERVER_UNAVAILABLE,
    )


@app.command()
@reports_errors
def promote(
    expert: ExpertArgument,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Put the version that passed the gate and waits into service.

    Example: kubectl nanodex promote payments
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    pin = candidate_pin(found)
    change(kubectl, found, pin_patch(pin))
    assert found.status.candidate is not None
    _say_pinned(found, digest=found.status.candidate.digest, pin=pin, output=output)


@app.command()
@reports_errors
def rollback(
    expert: ExpertArgument,
    to: Annotated[str, typer.Option(help="First digits of a digest; empty: the one before.")] = "",
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Let an earlier version answer again, and hold it until `promote`.

    Example: kubectl nanodex rollback payments
    Example: kubectl nanodex rollback payments --to 3f2c9ab1
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    pin = earlier_pin(found, to=to)
    change(kubectl, found, pin_patch(pin))
    _say_pinned(found, digest=pin, pin=pin, output=output)


@app.command()
@reports_errors
def retry(
    expert: ExpertArgument,
    namespace: NamespaceOption = "",
    context: ContextOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Run a stage that failed for good once more.

    Example: kubectl nanodex retry payments
    """
    kubectl = Kubectl(context=context, kubeconfig=kubeconfig, namespace=namespace)
    found = find_expert(kubectl, expert)
    nonce = uuid.uuid4().hex[:12]
    change(kubectl, found, retry_patch(nonce))
    emit(
        {"expert": found.model, "retryNonce": nonce},
        output=output,
        text=lambda: console.print(f"{found.model} tries again"),
    )


def main() -> None:
    """Run the plugin."""
    app(prog_name="kubectl nanodex")


def _say_pinned(expert: Expert, *, digest: str, pin: str, output: Output) -> None:
    short = digest.removeprefix("sha256:")[:12]
    held = ", and stays until promote" if pin else ""
    emit(
        {"expert": expert.model, "digest": digest, "pin": pin},
        output=output,
        text=lambda: console.print(
            f"{expert.model} answers from {short} when every ready replica holds it{held}"
        ),
    )


def _candidate(expert: Expert) -> str:
    if expert.status.candidate is None:
        raise UserError(
            f"{expert.model} has no version that waits for promotion",
            reason=Reason.PIN_NOT_FOUND,
            hint="ask without --candidate",
        )
    return f"{expert.model}@{expert.status.candidate.digest.removeprefix('sha256:')[:12]}"


def _job(expert: Expert, stage: Task | None) -> str:
    """Return the Job of a stage, or of the one that a person would look at.

    Raises:
        UserError: there is none.
    """
    entries = [one for one in expert.status.stages if one.job]
    if stage is not None:
        found = next((one.job for one in entries if one.name is stage), "")
    else:
        telling = (StageState.FAILED, StageState.RUNNING, StageState.QUEUED)
        found = next((one.job for one in entries if one.state in telling), "")
    if not found:
        raise UserError(
            f"{expert.model} has no Job of {stage}"
            if stage
            else f"no stage of {expert.model} runs",
            reason=Reason.INVALID_INPUT,
            hint="name a stage that has run: " + (", ".join(one.name for one in entries) or "none"),
        )
    return found
