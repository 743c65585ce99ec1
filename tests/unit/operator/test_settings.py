"""Settings come from the environment, and a wrong one is named."""

import pytest
from nanodex_operator.settings import Settings, WrongSettings

NEEDED = {
    "NANODEX_NAMESPACE": "nanodex-system",
    "NANODEX_STORE": "s3://bucket/prefix",
    "NANODEX_NANODEX_IMAGE": "nanodex:1",
    "NANODEX_TRAINER_IMAGE": "trainer:1",
}


def test_what_is_absent_or_empty_has_its_default() -> None:
    settings = Settings.from_environment(NEEDED | {"NANODEX_CONCURRENCY": " ", "PATH": "/bin"})

    assert settings.store == "s3://bucket/prefix"
    assert (settings.concurrency, settings.watch_namespaces) == (8, ())


def test_numbers_and_lists_are_read() -> None:
    settings = Settings.from_environment(
        NEEDED
        | {"NANODEX_WATCH_NAMESPACES": "team-a, team-b,", "NANODEX_RESYNC_SECONDS": "60"}
        | {"NANODEX_IMAGE_PULL_SECRETS": "registry"}
    )

    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.image_pull_secrets == ("registry",)
    assert settings.resync_seconds == 60


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"NANODEX_STORE": ""}, "NANODEX_STORE: Field required"),
        ({"NANODEX_NANODEX_IMAGE": ""}, "NANODEX_NANODEX_IMAGE: Field required"),
        ({"NANODEX_STORE": "/var/lib"}, "NANODEX_STORE: .*Pods share no folder"),
        ({"NANODEX_CONCURRENCY": "many"}, "NANODEX_CONCURRENCY: "),
        ({"NANODEX_METRICS_PORT": "70000"}, "NANODEX_METRICS_PORT: "),
    ],
)
def test_a_wrong_setting_is_named(changed: dict[str, str], said: str) -> None:
    with pytest.raises(WrongSettings, match=said):
        Settings.from_environment(NEEDED | changed)
