import os
import stat
import subprocess
from pathlib import Path

import pytest

from nanodex.source.credentials import Credentials
from nanodex.source.failures import explain
from nanodex.source.git import open_git

PASSWORD = 's3"cr\\3t'


def test_the_environment_is_built_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    with open_git("https://git.example.com/a.git", credentials=None, timeout_seconds=5) as git:
        assert "AWS_SECRET_ACCESS_KEY" not in git.environment
        assert git.environment["GIT_SSH_COMMAND"] == "false"
        assert git.environment["https_proxy"] == "http://proxy.example:3128"
        assert git.environment["GIT_CONFIG_NOSYSTEM"] == "1"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://git.example.com/a.git", "https"),
        ("ssh://git@git.example.com/a.git", "ssh"),
        ("git@git.example.com:a.git", "ssh"),
        ("file:///srv/a.git", "file"),
        ("", "none"),
    ],
)
def test_only_the_transport_of_the_address_is_allowed(url: str, allowed: str) -> None:
    with open_git(url, credentials=None, timeout_seconds=5) as git:
        assert git.environment["GIT_ALLOW_PROTOCOL"] == allowed


def fill(url: str, *, tmp_path: Path, credentials: Credentials, asked: str) -> str:
    with open_git(url, credentials=credentials, timeout_seconds=5) as git:
        done = subprocess.run(
            ["git", "credential", "fill"], cwd=tmp_path, env=dict(git.environment),
            input=asked.encode(), capture_output=True, check=False,
        )  # fmt: skip
        return done.stdout.decode()


def test_a_password_is_told_to_its_own_server_only(tmp_path: Path) -> None:
    credentials = Credentials(username="robot", password=PASSWORD)
    url = "https://git.example.com:8443/team/a.git"
    told = fill(
        url, tmp_path=tmp_path, credentials=credentials,
        asked="protocol=https\nhost=git.example.com:8443\n\n",
    )  # fmt: skip
    assert f"username=robot\npassword={PASSWORD}\n" in told
    told = fill(
        url, tmp_path=tmp_path, credentials=credentials,
        asked="protocol=https\nhost=evil.example.com\n\n",
    )  # fmt: skip
    assert "s3" not in told


def test_secrets_are_in_private_files_and_gone_afterwards() -> None:
    credentials = Credentials(
        username="robot", password=PASSWORD, identity="KEY", known_hosts="HOSTS"
    )
    url = "ssh://git@git.example.com/a.git"
    with open_git(url, credentials=credentials, timeout_seconds=5) as git:
        home = Path(git.environment["GIT_CONFIG_GLOBAL"]).parent
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for name in ("config", "credential", "identity", "known_hosts"):
            assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
        assert not any(secret in "".join(git.environment.values()) for secret in (PASSWORD, "KEY"))
    assert not home.exists()


def test_a_bearer_token_is_sent_to_its_own_server_only(tmp_path: Path) -> None:
    credentials = Credentials(bearer_token='t"\\oken')
    with open_git("https://git.example.com/a", credentials=credentials, timeout_seconds=5) as git:

        def header(url: str) -> str:
            done = subprocess.run(
                ["git", "config", "--get-urlmatch", "http.extraHeader", url], cwd=tmp_path,
                env=dict(git.environment), capture_output=True, check=False,
            )  # fmt: skip
            return done.stdout.decode().strip()

        assert header("https://git.example.com/a") == 'Authorization: Bearer t"\\oken'
        assert header("https://evil.example.com/a") == ""


def test_ssh_asks_nobody_and_trusts_only_the_given_hosts(tmp_path: Path) -> None:
    # ssh -G prints what ssh makes of its options, without connecting.
    credentials = Credentials(identity="KEY", known_hosts="HOSTS")
    with open_git("git@host.example:a", credentials=credentials, timeout_seconds=5) as git:
        command = git.environment["GIT_SSH_COMMAND"]
        home = Path(git.environment["GIT_CONFIG_GLOBAL"]).parent
        said = subprocess.run(
            ["sh", "-c", f"{command} -G host.example"], capture_output=True, check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        ).stdout.decode().lower().splitlines()  # fmt: skip
    for expected in (
        f"identityfile {home}/identity", "identitiesonly yes", "batchmode yes",
        "stricthostkeychecking true", f"userknownhostsfile {home}/known_hosts",
        "globalknownhostsfile /dev/null", "forwardagent no", "permitlocalcommand no",
    ):  # fmt: skip
        assert expected.lower() in said


@pytest.mark.parametrize(
    ("stderr", "reason", "exit_code"),
    [
        ("fatal: Authentication failed for 'https://h/a/'", "AuthenticationFailed", 13),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled",
         "AuthenticationFailed", 13),
        ("git@h: Permission denied (publickey).", "AuthenticationFailed", 13),
        ("Host key verification failed.", "AuthenticationFailed", 13),
        ("fatal: repository 'https://h/a/' not found", "InvalidInput", 10),
        ("fatal: strange hostname '-oProxyCommand=x' blocked", "InvalidInput", 10),
        ("fatal: SSL certificate problem: self-signed certificate", "InvalidInput", 10),
        ("fatal: unable to access: Could not resolve host: h", "GitUnavailable", 32),
        ("error: RPC failed; HTTP 502", "GitUnavailable", 32),
    ],
)  # fmt: skip
def test_what_git_says_becomes_a_reason(stderr: str, reason: str, exit_code: int) -> None:
    error = explain(stderr, url="https://h/a", secrets=())
    assert (error.reason, error.exit_code) == (reason, exit_code)
    assert error.hint


def test_an_error_does_not_repeat_what_git_says_every_time() -> None:
    error = explain(
        "fatal: '/x' does not appear to be a git repository\n"
        "fatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights\nand the repository exists.\n",
        url="file:///x", secrets=(),
    )  # fmt: skip
    assert error.message.endswith("'/x' does not appear to be a git repository")


def test_an_error_shows_neither_secrets_nor_control_characters() -> None:
    error = explain(
        f"remote: \x1b[2J{PASSWORD}\nfatal: https://robot:other@h/ failed", url="https://h/a",
        secrets=(PASSWORD,),
    )  # fmt: skip
    assert PASSWORD not in error.message
    assert "other" not in error.message
    assert error.message.isprintable()
