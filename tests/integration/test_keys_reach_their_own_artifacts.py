"""What the keys of a namespace and those of a reader may do in a real store.

That nothing in a cluster needs more is shown by tests/cluster, which runs on such keys.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.kind.world.manifests import Keys, actions_of_readers, actions_of_team
from nanodex.api.manifest import Manifest
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import (
    ObjectStore,
    collect_garbage,
    fetch,
    find,
    list_manifests,
    open_store,
    publish,
    remove,
    require_conditional_writes,
)
from nanodex.errors import UserError
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

pytestmark = pytest.mark.integration

PREFIX = "prod"
KEY = "0" * 63 + "1"
TEAMS = ("team-a", "team-b", "team")
# Lists of names are no secret between namespaces; what stands in an artifact is.
KEYS = (
    *(
        Keys(
            name=team,
            access_key=f"key-of-{team}",
            secret_key=f"secret of {team}",
            actions=actions_of_team(team, prefixes=[PREFIX]),
        )
        for team in TEAMS
    ),
    Keys(name="reader", access_key="reads", secret_key="only", actions=actions_of_readers()),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"), others=[one.identity() for one in KEYS])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def entered(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> "Entered":
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Entered(monkeypatch)


class Entered:
    """The store as the owner of some keys has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def by(self, name: str) -> ObjectStore:
        found = {one.name: (one.access_key, one.secret_key) for one in KEYS}
        access, secret = found.get(name, (ACCESS_KEY, SECRET_KEY))
        self._monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
        self._monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        return open_store(f"s3://{BUCKET}/{PREFIX}")


def published(store: ObjectStore, folder: Path, *, scope: str) -> Manifest:
    folder.mkdir()
    # More than one part of an upload.
    (folder / "graph.sqlite").write_bytes(os.urandom(20 << 20))
    return publish(folder, store=store, stage=StageName.EXTRACT, key=KEY, scope=scope).manifest


@pytest.mark.parametrize("team", TEAMS)
def test_a_teams_keys_do_all_that_its_stages_do(
    entered: Entered, tmp_path: Path, team: str
) -> None:
    store = entered.by(team)
    require_conditional_writes(store)
    assert find(store, scope=team, stage=StageName.EXTRACT, key=KEY) is None
    manifest = published(store, tmp_path / "out", scope=team)
    assert find(store, scope=team, stage=StageName.EXTRACT, key=KEY) == manifest
    assert (fetch(manifest, store=store, destination=tmp_path / "here") / "graph.sqlite").exists()
    store.write(f"v1/{team}/train/{KEY}/progress.json", b"{}")
    collect_garbage(store, scope=team)
    remove(store, manifest)


def test_a_teams_keys_neither_read_nor_write_what_is_anothers(
    entered: Entered, tmp_path: Path
) -> None:
    theirs = published(entered.by("team-b"), tmp_path / "out", scope="team-b")
    # A name that another begins with is another's too.
    for team in ("team-a", "team"):
        store = entered.by(team)
        for forbidden in (
            lambda at=store, to=tmp_path / team: fetch(theirs, store=at, destination=to),
            lambda at=store: at.write(f"v1/team-b/train/{KEY}/progress.json", b"{}"),
            lambda at=store: remove(at, theirs),
            lambda at=store: at.write_if_absent(f"v1/team-b/brain/{KEY}/manifest.json", b"{}"),
        ):
            with pytest.raises(UserError) as caught:
                forbidden()
            assert caught.value.reason is Reason.AUTHENTICATION_FAILED
    owner = entered.by("team-b")
    assert find(owner, scope="team-b", stage=StageName.EXTRACT, key=KEY) == theirs
    remove(owner, theirs)


def test_a_readers_keys_change_nothing(entered: Entered, tmp_path: Path) -> None:
    manifest = published(entered.by("team-a"), tmp_path / "out", scope="team-a")
    store = entered.by("reader")
    found = [one for one, _ in list_manifests(store, scope="team-a", stage=StageName.EXTRACT)]
    assert found == [manifest]
    assert (fetch(manifest, store=store, destination=tmp_path / "here") / "graph.sqlite").exists()
    for forbidden in (
        lambda: store.write("v1/team-a/x", b""),
        lambda: remove(store, manifest),
    ):
        with pytest.raises(UserError) as caught:
            forbidden()
        assert caught.value.reason is Reason.AUTHENTICATION_FAILED
    remove(entered.by("team-a"), manifest)
