"""Which key may ask which model, and how keys come and go."""

import hashlib
import logging
from pathlib import Path

import pytest

from nanodex.inference.access import Client, Everybody, KeyFolder, parse_keys

KEY = "nx-0123456789abcdef"
OTHER = "nx-fedcba9876543210"


def mount(folder: Path, **entries: str) -> Path:
    """Write a Secret as the kubelet does: files are links into a folder that is exchanged."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, text in entries.items():
        (version / name).write_text(text)
    link = folder / "..tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for name in entries:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def client(folder: KeyFolder, key: str) -> Client | None:
    return folder.client_of(f"Bearer {key}")


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        ("team-a/*", "team-a/payments", True),
        ("team-a/*", "team-a/payments@0123456789ab", True),
        ("team-a/*", "team-ab/payments", False),
        ("team-a/*", "team-a", False),
        ("team-a/*", "team-a/", True),
        ("team-a/*", "base", False),
        ("team-a/payments", "team-a/payments", True),
        ("team-a/payments", "team-a/payments@0123456789ab", True),
        ("team-a/payments", "team-a/payments-2", False),
        ("team-a/* base", "base", True),
        ("*", "base", True),
        ("*", "team-b/x", True),
        ("*", "anything else", True),
    ],
)
def test_what_a_pattern_allows(patterns: str, model: str, allowed: bool) -> None:
    assert Client("x", tuple(patterns.split())).may_ask(model) is allowed


def test_a_key_names_its_client_and_a_wrong_one_names_nobody(tmp_path: Path) -> None:
    keys = KeyFolder(mount(tmp_path / "keys", ci=f"{KEY} team-a/*\n"))

    assert client(keys, KEY) == Client("ci", ("team-a/*",))
    for wrong in (KEY[:-1], KEY + "x", KEY.upper(), "", " ", OTHER):
        assert client(keys, wrong) is None, wrong
    assert keys.client_of(KEY) is None
    assert keys.client_of(f"Basic {KEY}") is None
    assert keys.client_of(f"bearer {KEY}") == Client("ci", ("team-a/*",))


def test_a_secret_may_hold_the_hash_of_a_key_instead_of_the_key(tmp_path: Path) -> None:
    hashed = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
    keys = KeyFolder(mount(tmp_path / "keys", ci=f"{hashed} *"))

    assert client(keys, KEY) == Client("ci", ("*",))
    assert client(keys, hashed) is None


def test_two_keys_of_one_client_while_one_replaces_the_other(tmp_path: Path) -> None:
    keys = KeyFolder(mount(tmp_path / "keys", ci=f"{KEY} *\n{OTHER} *\n"))

    assert client(keys, KEY) == client(keys, OTHER) == Client("ci", ("*",))


def test_keys_come_and_go_without_a_restart(tmp_path: Path) -> None:
    keys = KeyFolder(mount(tmp_path / "keys", ci=f"{KEY} *"))
    mount(tmp_path / "keys", ci=f"{OTHER} *")

    keys.reload()

    assert client(keys, KEY) is None
    assert client(keys, OTHER) == Client("ci", ("*",))


def test_a_secret_that_is_not_there_lets_nobody_in(tmp_path: Path) -> None:
    assert client(KeyFolder(tmp_path / "absent"), KEY) is None
    (tmp_path / "empty").mkdir()
    assert client(KeyFolder(tmp_path / "empty"), "") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("short *", "16 to 512 characters"),
        (KEY, "no model follows"),
        (f"{KEY} ../*", "is written"),
        (f"{KEY} team-a/pay*", "is written"),
        (f"{KEY} TEAM/*", "is written"),
    ],
)
def test_a_line_that_is_no_key_is_left_out_and_not_repeated_in_the_log(
    line: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        keys = parse_keys("ci", f"# a comment\n\n{line}\n{OTHER} base\n")

    assert [client.patterns for _, client in keys] == [("base",)]
    assert "line 3 of the API keys of ci" in caplog.text
    assert says in caplog.text
    assert KEY not in caplog.text


def test_on_one_machine_everybody_may_ask() -> None:
    somebody = Everybody().client_of("")

    assert somebody is not None
    assert somebody.may_ask_all and somebody.may_ask("team/x")
