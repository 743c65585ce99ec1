"""Recognises strings that look like secrets, so that no adapter learns one by heart.

It errs on the side of silence: a digest or a random identifier is dropped as well.
"""

import math
import re
from collections import Counter
from itertools import pairwise

_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abposr]-[\w-]{10,}|\bsk-[\w-]{16,}"
    r"|\bAIza[\w-]{30,}|\beyJ[\w-]{8,}\.[\w-]{8,}|\bhf_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{30,}"
    r"|\bpypi-[\w-]{16,}|://[^/\s:@]+:[^/\s:@]+@"
)
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_ASSIGNED = re.compile(
    r"(?i)(passw(or)?d|passphrase|secret|api_?key|access_?key|token|credential)\w*[\"']?\s*[:=]\s*"
    r"[\"'][^\"'\s]{6,}[\"']"
)
# Bits a character: English and identifiers stay below 3.6 over twenty characters, random base64
# lies above 4, random hexadecimal reaches 3.6 with 32 digits.
_BITS_OF_RANDOM_TEXT = 3.9
_BITS_OF_RANDOM_HEX = 3.0
# From letter to digit and back: a name has a number at its end, a key has them everywhere.
_FEWEST_ALTERNATIONS = 3
_HEX = re.compile(r"[0-9a-fA-F-]{32,}")


def looks_secret(text: str) -> bool:
    """Whether `text` holds something that looks like a key, a token or a password."""
    if _KNOWN.search(text) or _ASSIGNED.search(text):
        return True
    for run in _RUN.findall(text):
        if _HEX.fullmatch(run):
            if _entropy(run) > _BITS_OF_RANDOM_HEX:
                return True
        elif _mixed(run) and _entropy(run) > _BITS_OF_RANDOM_TEXT:
            return True
    return False


def _mixed(run: str) -> bool:
    """Whether cases and digits alternate as they seldom do in names and paths."""
    if "/" in run.strip("/") or run.islower() or run.isupper():
        return False
    digits = [character.isdigit() for character in run]
    return sum(one != other for one, other in pairwise(digits)) >= _FEWEST_ALTERNATIONS


def _entropy(run: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    total = len(run)
    return -sum(n / total * math.log2(n / total) for n in Counter(run).values())


def value_is_secret(name: str, value: str) -> bool:
    """Whether a constant called `name` keeps a secret in its source text `value`."""
    return looks_secret(value) or looks_secret(f"{name} = {value}")
