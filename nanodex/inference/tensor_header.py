"""Names, types and shapes of the tensors in a safetensors file, read without loading any of them.

The file is hostile input: its header decides nothing here but what is compared with the base model.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanodex.api.reasons import Reason
from nanodex.errors import NotServable

# A 70B model's header is 0.1 MB; the format itself allows 100 MB.
_MAX_HEADER_BYTES = 16 << 20
_ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the header of a safetensors file and check it against the file's size.

    Raises:
        NotServable: not a safetensors file, truncated, or a header that contradicts itself.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or not 2 <= length <= _MAX_HEADER_BYTES:
            raise _refused(path, "it has no safetensors header")
        text = stream.read(length)
        size = stream.seek(0, 2) - 8 - length
    if len(text) < length:
        raise _refused(path, "its header is cut off")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _refused(path, "its header is not an object")
    tensors = {}
    reached = 0
    for name, entry in sorted(
        ((name, entry) for name, entry in header.items() if name != "__metadata__"),
        key=lambda item: _begin(item[1]),
    ):
        tensor, begin, end = _tensor(path, name, entry)
        # The format allows neither gaps nor overlaps.
        if begin != reached:
            raise _refused(path, f"{name} does not begin where the tensor before it ends")
        reached = end
        tensors[name] = tensor
    if reached != size:
        raise _refused(path, f"it holds {size} bytes of tensors where its header says {reached}")
    return tensors


def _begin(entry: Any) -> int:
    try:
        begin = entry["data_offsets"][0]
    except (KeyError, IndexError, TypeError):
        return -1
    return begin if type(begin) is int else -1


def _tensor(path: Path, name: str, entry: Any) -> tuple[Tensor, int, int]:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        item = _ITEM_BYTES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(path, f"{name!r:.100} is not described as a tensor") from error
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise _refused(path, f"{name!r:.100} has a size that is not a count")
    if end - begin != item * math.prod(shape):
        raise _refused(path, f"{name!r:.100} does not have the bytes that its shape needs")
    return Tensor(dtype=dtype, shape=shape), begin, end


def _refused(path: Path, why: str) -> NotServable:
    return NotServable(
        f"{path.name} is not a safetensors file that can be served: {why}",
        reason=Reason.NOT_SERVABLE,
        hint="train the adapter again; the file was damaged or not written by nanodex",
    )
