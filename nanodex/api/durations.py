"""Durations as the resources write them: 24h, 1h30m, 45s."""

import re

_SECONDS = {"h": 3600, "m": 60, "s": 1}


def duration_seconds(text: str) -> int:
    """Return the seconds in `text`, a sequence of a number and h, m or s; 0 for an empty one."""
    return sum(
        int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", text)
    )


def duration_text(seconds: float) -> str:
    """Return `seconds` as people say it, in one unit: 40 s, 14 min, 3.5 h."""
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
