"""What `create` is given, checked at the door: each mistake is a ValueError that says what was wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from segkit.files import nearest
from segkit.models.registry import Network


def classes(given: Any) -> int | tuple[str, ...]:
    """A number of classes, or their names as a tuple."""
    if isinstance(given, str):
        raise ValueError(f"classes={given!r} is one string; pass a number or a sequence such as ({given!r},)")
    if _is_whole(given):
        named: int | tuple[str, ...] = int(given)
    else:
        named = tuple(given) if isinstance(given, Iterable) else ()
        if len(set(map(str, named))) < len(named) or not all(isinstance(name, str) for name in named):
            named = ()
    if not named or (isinstance(named, int) and named < 1):
        raise ValueError(f"classes must be a positive whole number or distinct names, got {given!r}")
    return named


def in_channels(given: Any) -> int:
    """A number of channels of the image."""
    if not _is_whole(given) or given < 1:
        raise ValueError(f"in_channels must be a whole number of at least 1, got {given!r}; 1 is grey, 3 is RGB")
    return int(given)


def prior(given: Any) -> float:
    """A probability that has a logit."""
    if not _is_number(given) or not 0 < given < 1:
        raise ValueError(f"prior is a probability strictly between 0 and 1, got {given!r}")
    return float(given)


def options(row: Network, given: Mapping[str, Any], *, plain: Network) -> None:
    """Each option is one of `row`, and of the kind of its default where that is a number or a yes or no.

    plain: the row of the same name without an encoder, which may be `row` itself. Options of libraries' networks are
    the libraries' to check.
    """
    known = row.defaults()
    for key, value in given.items():
        if key not in known:
            other = ""
            if row.on_encoder:
                other = f"; with encoder={row.on_encoder.encoder!r}, say, it has others"
            elif plain is not row and key in plain.defaults():
                other = f"; {key} is an option of {plain.name} without an encoder only"
            raise ValueError(f"{plain.name} has no option {key!r}; {nearest(key, known)}{other}")
        default = known[key]
        if row.options is not None:
            continue
        if isinstance(default, bool) and not isinstance(value, bool):
            raise ValueError(f"{key} of {plain.name} is True or False, got {value!r}")
        if _is_whole(default) and not _is_whole(value):
            raise ValueError(f"{key} of {plain.name} is a whole number, as {default}, got {value!r}")
        if isinstance(default, float) and not _is_number(value):
            raise ValueError(f"{key} of {plain.name} is a number, as {default}, got {value!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
