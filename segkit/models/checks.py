"""Checks of what `create` is given: each mistake is a ValueError that says what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import TypeGuard

from segkit.files import nearest
from segkit.models.network import Network


def classes(given: object) -> int | tuple[str, ...]:
    """Check the classes.

    Args:
        given: What the user passed.

    Returns:
        Number of classes, or their names.

    Raises:
        ValueError: If it is neither a positive number nor distinct names.
    """
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


def in_channels(given: object) -> int:
    """Check the number of image channels.

    Args:
        given: What the user passed.

    Returns:
        The number.

    Raises:
        ValueError: If it is no whole number of at least 1.
    """
    if not _is_whole(given) or given < 1:
        raise ValueError(f"in_channels must be a whole number of at least 1, got {given!r}; 1 is grey, 3 is RGB")
    return int(given)


def prior(given: object) -> float:
    """Check the initial probability.

    Args:
        given: What the user passed.

    Returns:
        The probability.

    Raises:
        ValueError: If it has no finite logit.
    """
    if not _is_number(given) or not 0 < given < 1:
        raise ValueError(f"prior is a probability strictly between 0 and 1, got {given!r}")
    return float(given)


def options(row: Network, given: Mapping[str, object], *, plain: Network) -> None:
    """Check that each option is one of the network's, and of the kind of its default where that is a number or a bool.

    Options of libraries' networks are the libraries' to check.

    Args:
        row: Row of the network that is built.
        given: Options of the user.
        plain: Row of the same name without an encoder, which may be `row` itself.

    Raises:
        ValueError: For an unknown option, with the nearest ones, and for a value of another kind.
    """
    known = row.defaults()
    for key, value in given.items():
        if key not in known:
            other = ""
            if row.encoder_variant:
                other = f"; with encoder={row.encoder_variant.encoder!r}, for instance, it has others"
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


def _is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an integer, NumPy's included, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number, NumPy's included, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
