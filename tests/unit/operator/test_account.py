"""Who the operator is: a kubeconfig, or the ServiceAccount of its Pod."""

from pathlib import Path

import pytest
from nanodex_operator.account import Account
from nanodex_operator.refusals import Unavailable


async def test_the_token_of_a_service_account_is_read_each_time(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    (tmp_path / "ca.crt").write_text(_certificate())
    token = tmp_path / "token"
    token.write_text("first\n")
    account = await Account.find(environment, mounted=tmp_path)

    before = await account.login()
    token.write_text("second")
    after = await account.login()
    token.unlink()
    with pytest.raises(Unavailable, match="token cannot be read"):
        await account.login()

    assert before.server == "https://[fd00::1]:443"
    assert (before.scheme, before.token, after.token) == ("Bearer", "first", "second")


async def test_there_must_be_one() -> None:
    with pytest.raises(KeyError, match="KUBERNETES_SERVICE_HOST"):
        await Account.find({})


def _certificate() -> str:
    import ssl

    return ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(True)[0])
