"""What looks like a secret, and what only looks strange."""

import pytest

from nanodex.dataset.secrets import looks_secret, value_is_secret


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefABCDEF0123456789abcd",
        "xoxb-1234567890-abcdef",
        "sk-proj-abcdefghijklmnop1234",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig",
        "postgres://admin:hunter22@db/app",
        'password = "correcthorse"',
        "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY9",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_looks_secret(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "src/parcelry/very_long_module_name/errors.py",
        "def resolve_zone(origin: str, destination: str) -> Zone",
        "WaybillTest.test_ledger_survives_reopening",
        "The token must not be empty",
        "not hmac.compare_digest(seal_body(body), signature)",
        "AbstractSingletonProxyFactoryBean2",
        "----------------------------------",
        'os.environ["API_KEY"]',
    ],
)
def test_is_no_secret(text: str) -> None:
    assert not looks_secret(text)


def test_the_name_of_a_constant_gives_its_value_away() -> None:
    assert value_is_secret("ADMIN_PASSWORD", '"swordfish"')
    assert not value_is_secret("GREETING", '"swordfish"')
