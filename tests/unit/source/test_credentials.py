from pathlib import Path

import pytest

from nanodex.errors import TryAgain, UserError
from nanodex.source.credentials import Credentials, read_credentials


def secret(folder: Path, **files: str) -> Path:
    for name, value in files.items():
        (folder / name.replace("DOT", ".")).write_text(value)
    return folder


def test_reads_a_mounted_secret_without_the_line_end_that_editors_add(tmp_path: Path) -> None:
    folder = secret(tmp_path, username="robot\n", password="s3cr3t\n", caDOTcrt="PEM")
    assert read_credentials(folder) == Credentials(
        username="robot", password="s3cr3t", ca_certificates="PEM"
    )


def test_a_secret_does_not_show_in_repr(tmp_path: Path) -> None:
    assert "s3cr3t" not in repr(read_credentials(secret(tmp_path, bearerToken="s3cr3t")))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"token": "x"}, "none of the known keys"),
        ({"username": "a"}, "username and password belong together"),
        ({"identity": "key"}, "identity and known_hosts belong together"),
        ({"username": "a", "password": "b", "bearerToken": "c"}, "both bearerToken and password"),
        ({"username": "a", "password": "b\nhost=evil.example"}, "more than one line"),
        ({"bearerToken": "x" * 70_000}, "larger than"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_its_value(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_credentials(secret(tmp_path, **files))
    assert "evil" not in str(caught.value)


def test_a_secret_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    with pytest.raises(TryAgain, match="no git credentials") as caught:
        read_credentials(tmp_path)
    assert "create the Secret" in caught.value.hint
