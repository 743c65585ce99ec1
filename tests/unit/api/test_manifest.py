"""A manifest names content, never a place outside its folder."""

import pytest
from pydantic import ValidationError

from nanodex.api.manifest import FileEntry, Manifest, TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName, Task

FILES = (
    FileEntry(path="adapter/a", sha256="a" * 64, size=1),
    FileEntry(path="adapter/b", sha256="b" * 64, size=2),
)


def manifest(*, key: str = "0" * 64, files: tuple[FileEntry, ...] = FILES) -> Manifest:
    return Manifest(stage=StageName.TRAIN, key=key, scope="team-a", files=files)


def test_the_digest_covers_content_and_not_how_it_came_about() -> None:
    assert manifest(key="1" * 64).digest == manifest().digest
    assert manifest(files=FILES[:1]).digest != manifest().digest


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\\b", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="relative path"):
        FileEntry(path=path, sha256="a" * 64, size=1)


def test_files_are_sorted_and_named_once() -> None:
    with pytest.raises(ValidationError, match="sorted"):
        manifest(files=FILES[::-1])
    with pytest.raises(ValidationError, match="once"):
        manifest(files=(FILES[0], FILES[0]))


def test_the_last_word_fits_into_a_termination_message() -> None:
    message = TerminationMessage(
        stage=StageName.TRAIN,
        exit_code=ExitCode.TRAINING_FAILED,
        reason=Reason.NAN_LOSS,
        message="x" * 1024,
        hint="y" * 512,
        metrics={f"metric-{number}": 1.0 for number in range(500)},
    )
    assert len(message.encode()) <= 4096
    assert TerminationMessage.model_validate_json(message.encode()).reason == Reason.NAN_LOSS


@pytest.mark.parametrize("character", ["\U0001f4a5", "\x01", '"', "e"])
def test_a_long_last_word_fits_whatever_it_is_written_in(character: str) -> None:
    word = TerminationMessage(
        stage=Task.TRAIN,
        exit_code=ExitCode.TRAINING_FAILED,
        reason=Reason.NAN_LOSS,
        message=character * 1024,
        hint=character * 512,
        metrics={"loss": 0.25},
    )
    encoded = word.encode()
    assert len(encoded) <= 4096
    read = TerminationMessage.model_validate_json(encoded)
    assert read.message.startswith(character * 128)
    assert read.hint.startswith(character * 128)
