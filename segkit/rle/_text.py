"""The text "start length start length ..." to the (n, 2) array of its runs and back: strictly, or repaired with notes.

Starts count from the image's first pixel, or, where they are relative (SIIM-ACR 2019), from the end of the run before.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from segkit.rle._arrays import join_touching

INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
PLAIN = b"0123456789 "
MOST = 10**18
NO_RUNS = np.zeros((0, 2), np.int64)
RELATIVE = "; if each start counts from the end of the run before, the text is relative: say relative=True"


class RepairWarning(UserWarning):
    """A broken text was repaired, because repair=True asked for it; the message says what was done."""


def parse(text: str, *, start: int = 1, relative: bool = False, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Half-open int64 (n, 2) runs in the text's own flat coordinates, sorted and apart: touching runs are joined.

    ValueError names the token: no text, an odd number, no integer, negative, empty, unsorted, overlapping, and past
    the last pixel where the shape is known.
    """
    numbers = _numbers(text)
    if not len(numbers):
        return NO_RUNS.copy()
    runs = _absolute(numbers, start) if relative else numbers - start
    if not relative:
        runs[:, 1] += numbers[:, 0]
    gap = (runs[1:, 0] - runs[:-1, 1]).min(initial=1)
    sound = runs[0, 0] >= 0 and numbers[:, 1].min() > 0 and gap >= 0
    if not sound or (shape is not None and runs[-1, 1] > shape[0] * shape[1]):
        _refuse(text.split(), runs, start, relative, shape)
    return runs if gap else join_touching(runs)


def written(runs: np.ndarray, *, start: int = 1, relative: bool = False) -> str:
    """The text of sorted runs that lie apart; "" of none."""
    pairs = runs + start
    pairs[:, 1] -= pairs[:, 0]
    if relative:
        pairs[1:, 0] = runs[1:, 0] - runs[:-1, 1]
    return ("%d " * pairs.size)[:-1] % tuple(pairs.ravel().tolist())  # twice as fast as a join of strings


def _absolute(numbers: np.ndarray, start: int) -> np.ndarray:
    """Runs of relative starts and lengths. ValueError where they add up to more than int64 holds."""
    if np.abs(numbers).sum(dtype=np.float64) >= MOST:
        raise ValueError(f"the starts and lengths of a relative RLE text add up to more than {MOST} pixels")
    ends = numbers.sum(axis=1).cumsum() - start
    return np.stack([ends - numbers[:, 1], ends], axis=1)


def _numbers(text: str) -> np.ndarray:
    """int64 (n, 2) starts and lengths. ValueError where the text is none, or no pairs of integers of 18 digits."""
    if isinstance(text, str) and not text.encode().translate(None, PLAIN) and not text.isspace() and text:
        numbers = np.fromstring(text, np.int64, sep=" ")
        if len(numbers) % 2 == 0 and numbers.max() < MOST:  # what 19 digits give at least, or overflow to
            return numbers.reshape(-1, 2)
    tokens = _tokens(text)
    if len(tokens) % 2:
        raise ValueError(f"{len(tokens)} tokens: an RLE text has pairs 'start length' (last token {tokens[-1]!r})")
    for place, token in enumerate(tokens):
        if not INTEGER.fullmatch(token):
            raise ValueError(
                f"token {place + 1} of the RLE text: expected an integer of up to 18 digits, got {token!r}"
            )
    return np.array([int(token) for token in tokens], dtype=np.int64).reshape(-1, 2)


def _refuse(
    tokens: Sequence[str], runs: np.ndarray, start: int, relative: bool, shape: tuple[int, int] | None
) -> NoReturn:
    """ValueError for runs that are not sound: it names the first token of the first rule that is broken."""
    starts, lengths = runs[:, 0], runs[:, 1] - runs[:, 0]
    for what, bad, place, least in (("length", lengths <= 0, 2, 1), ("start", starts < 0, 1, start)):
        if bad.any():
            place += 2 * int(np.flatnonzero(bad)[0])
            raise ValueError(f"token {place} of the RLE text: {what} {tokens[place - 1]} is below {least}")
    crossing = np.flatnonzero(runs[1:, 0] < runs[:-1, 1])
    if crossing.size:
        at = int(crossing[0])
        kind = "unsorted" if runs[at + 1, 0] < runs[at, 0] else "overlapping"
        before, after = (" ".join(tokens[2 * k : 2 * k + 2]) for k in (at, at + 1))
        if relative:
            raise ValueError(f"token {2 * at + 3} of the RLE text: a relative start is 0 or more, got {after!r}")
        hint = RELATIVE if kind == "unsorted" else ""
        raise ValueError(f"token {2 * at + 3} of the RLE text: runs are {kind}, {before!r} then {after!r}{hint}")
    height, width = shape  # type: ignore[misc]
    at = int(np.argmax(runs[:, 1] > height * width))
    pair = " ".join(tokens[2 * at : 2 * at + 2])
    raise ValueError(
        f"token {2 * at + 1} of the RLE text: the run {pair!r} ends past the {height * width} pixels of {shape}"
    )


def repaired(
    text: str, *, start: int, relative: bool = False, shape: tuple[int, int] | None
) -> tuple[np.ndarray, list[str]]:
    """What `parse` gives, of the nearest text that is whole, and a note for each kind of change; () where none was.

    ValueError for a text that is whole, but of relative starts where absolute ones are asked for.
    """
    tokens = _tokens(text)
    notes: list[str] = []

    def note(places: list[int], what: str) -> None:
        if places:
            more = f" and {len(places) - 1} more" if len(places) > 1 else ""
            notes.append(f"{what} (token {places[0]} {tokens[places[0] - 1]!r}{more})")

    note([len(tokens)] if len(tokens) % 2 else [], "dropped a last token without a partner")
    pairs: list[tuple[int, int]] = []
    places: list[int] = []  # of the pairs' first tokens, counted from 1
    strange, empty, outside, cropped = [], [], [], []
    end = float("inf") if shape is None else shape[0] * shape[1]
    before = -start  # where relative starts count from: the end of the run before
    for place in range(1, len(tokens), 2):
        wrong = [place + k for k in (0, 1) if not INTEGER.fullmatch(tokens[place - 1 + k])]
        if relative and (wrong or min(int(tokens[place - 1]), int(tokens[place])) < 0):
            pair = " ".join(tokens[place - 1 : place + 1])
            raise ValueError(f"token {place} of the relative RLE text, {pair!r}: nobody knows where the runs after lie")
        if wrong:
            strange.append(wrong[0])
            continue
        first, length = int(tokens[place - 1]), int(tokens[place])
        first += before if relative else -start
        if relative:
            before = first + length
        low, high = max(first, 0), int(min(first + length, end))
        if length <= 0:
            empty.append(place + 1)
        elif low >= high:
            outside.append(place)
        else:
            if (low, high) != (first, first + length):
                cropped.append(place)
            pairs.append((low, high))
            places.append(place)
    note(strange, "dropped pairs with a token that is no integer")
    note(empty, "dropped runs whose length is below 1")
    note(outside, "dropped runs that lie outside the image")
    note(cropped, "cropped runs that reach out of the image")
    runs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    order = np.argsort(runs[:, 0], kind="stable")
    unsorted = [places[k + 1] for k in np.flatnonzero(runs[1:, 0] < runs[:-1, 0])]
    note(unsorted, "sorted runs")
    runs = runs[order]
    reach = np.maximum.accumulate(runs[:, 1]) if len(runs) else runs[:, 1]
    overlapping = np.flatnonzero(runs[1:, 0] < reach[:-1]) + 1
    is_odd = 2 * len(overlapping) >= len(runs) or (unsorted and len(overlapping))
    if len(overlapping) and is_odd and not relative and _is_relative(text, shape):
        raise ValueError(f"the runs overlap, but as relative starts they are whole{RELATIVE}")
    note([places[order[k]] for k in overlapping], "merged overlapping runs")
    fresh = np.r_[True, runs[1:, 0] > reach[:-1]] if len(runs) else np.zeros(0, bool)
    last = np.r_[fresh[1:], True] if len(runs) else fresh
    return np.stack([runs[fresh, 0], reach[last]], axis=1), notes


def _is_relative(text: str, shape: tuple[int, int] | None) -> bool:
    """Is it a whole text of relative starts?"""
    try:
        parse(text, start=0, relative=True, shape=shape)
    except ValueError:
        return False
    return True


def warn(notes: Sequence[str], *, level: int) -> None:
    """One RepairWarning of all the notes, where there are any; level: as warnings' stacklevel, seen from the caller."""
    if notes:
        message = f"the RLE text was repaired: {'; '.join(notes)}"
        warnings.warn(message, RepairWarning, stacklevel=level + 1)


def _tokens(text: str) -> list[str]:
    if not isinstance(text, str):
        raise ValueError(f"expected an RLE text, got {text!r}; an empty mask is the empty string")
    return text.split()
