from pathlib import Path

import pytest

from nanodex.api.reasons import ExitCode, Reason
from nanodex.artifacts import require_conditional_writes
from nanodex.artifacts.folder import FolderStore
from nanodex.artifacts.s3_errors import explain
from nanodex.errors import TryAgain, UserError


class ForgetfulStore(FolderStore):
    """Like an S3 server that ignores the header If-None-Match."""

    def write_if_absent(self, name: str, data: bytes) -> bool:
        self.write(name, data)
        return True


def test_a_store_without_conditional_writes_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        require_conditional_writes(ForgetfulStore(tmp_path))
    assert caught.value.reason is Reason.STORE_WITHOUT_CONDITIONAL_WRITES


def test_a_good_store_passes_and_nothing_is_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    require_conditional_writes(store)
    assert list(store.entries("v1/")) == []


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        ("AccessDenied", Reason.AUTHENTICATION_FAILED, ExitCode.AUTHENTICATION_FAILED),
        ("NoCredentialsError", Reason.AUTHENTICATION_FAILED, ExitCode.AUTHENTICATION_FAILED),
        ("403", Reason.AUTHENTICATION_FAILED, ExitCode.AUTHENTICATION_FAILED),
        ("NoSuchBucket", Reason.INVALID_INPUT, ExitCode.INVALID_INPUT),
        ("NotImplemented", Reason.STORE_WITHOUT_CONDITIONAL_WRITES, ExitCode.INVALID_INPUT),
        ("SSLError", Reason.INVALID_INPUT, ExitCode.INVALID_INPUT),
        ("SomethingNew", Reason.INVALID_INPUT, ExitCode.INVALID_INPUT),
    ],
)
def test_an_answer_that_will_not_change_is_the_users_to_mend(
    code: str, reason: Reason, exit_code: ExitCode
) -> None:
    error = explain(code, detail="said the server", where="s3://b", transient=False)
    assert isinstance(error, UserError)
    assert (error.reason, error.exit_code) == (reason, exit_code)
    assert "s3://b" in error.message
    assert error.hint


def test_a_silent_server_is_worth_another_try() -> None:
    error = explain("EndpointConnectionError", detail="", where="s3://b", transient=True)
    assert isinstance(error, TryAgain)
    assert error.exit_code is ExitCode.STORE_UNAVAILABLE
