"""Whether two runs are the same: what is given to `fit`, described in plain values that can be compared."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import operator
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType

import numpy as np
import torch
from torch import Tensor, nn

from segkit.files import digest, plain

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""What JSON can say."""

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes of nn.Module itself, which say nothing about a loss."""


class NotComparableError(ValueError):
    """Two values may differ in what they do, and nothing about them shows it."""


def describe(value: object) -> Plain:
    """Describe a value so that two of equal description surely do the same.

    Known are plain values, containers, arrays and tensors, dataclasses, functions that can be imported (with their
    source text), `functools.partial`, modules (type, settings, tensors, children), albumentations transforms, and
    whatever has a method `fingerprint()`.

    Args:
        value: Anything.

    Returns:
        None, bool, numbers, text, lists and dictionaries of them.

    Raises:
        NotComparableError: For anything else, such as a lambda; says what it is.

    Example:
        >>> describe(functools.partial(math.dist, (0.0, 1.0)))
        {'partial': 'math.dist', 'args': [[0.0, 1.0]], 'keywords': {}}
    """
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return {
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "values": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16],
        }
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.generic, PurePath)):
        return plain(value)
    if isinstance(value, (Enum, torch.dtype, torch.device, range, slice)):
        return repr(value)
    if hasattr(value, "fingerprint") and not isinstance(value, type):
        return {"type": _name(type(value)), "fingerprint": describe(value.fingerprint())}
    if isinstance(value, Mapping):
        return {str(key): describe(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((describe(part) for part in value), key=repr)
    if isinstance(value, nn.Module):
        return _module(value)
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: describe(getattr(value, one.name)) for one in fields(value)}
        return {"type": _name(type(value)), **named}
    if isinstance(value, functools.partial):
        return {
            "partial": describe(value.func),
            "args": describe(value.args),
            "keywords": describe(value.keywords),
        }
    if isinstance(value, (FunctionType, BuiltinFunctionType, type)):
        return _function(value)
    if isinstance(value, MethodType):
        return {"method": value.__name__, "of": describe(value.__self__)}
    if type(value).__module__.startswith("albumentations."):
        return _albumentations(value)
    raise NotComparableError(f"a {type(value).__name__}")


def _name(value: type | FunctionType | BuiltinFunctionType) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _function(function: type | FunctionType | BuiltinFunctionType) -> str:
    """The name by which it can be imported, and a digest of its source text where there is one."""
    try:
        found = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
    except (AttributeError, KeyError, TypeError):
        found = None
    if found is not function:
        kind = "a lambda" if "<lambda>" in function.__qualname__ else f"the local function {function.__qualname__}"
        raise NotComparableError(kind)
    try:
        return f"{_name(function)} {digest(inspect.getsource(function))}"
    except TypeError:  # built in
        return _name(function)
    except OSError as error:
        raise NotComparableError(f"the function {_name(function)}, whose source text is not there") from error


def _module(module: nn.Module) -> dict[str, Plain]:
    own: Plain
    if type(module).__module__.startswith("segkit."):
        own = module.extra_repr()  # holds every setting: a test of the losses says so
        if " at 0x" in own:
            raise NotComparableError(f"a function inside of {type(module).__name__}")
    else:
        own = {name: describe(value) for name, value in vars(module).items() if name not in OF_EVERY_MODULE}
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    found: dict[str, Plain] = {"type": _name(type(module)), "settings": own}
    found |= {name: describe(value) for name, value in tensors}
    return found | {name: _module(child) for name, child in module.named_children()}


def _albumentations(transform: object) -> Plain:
    import albumentations as A

    try:
        return describe(A.to_dict(transform)["transform"])
    except Exception as error:  # lambdas and transforms of one's own cannot be written down
        raise NotComparableError(
            f"the transform {type(transform).__name__}, which albumentations cannot write down"
        ) from error


@dataclass(frozen=True)
class Identity:
    """What a run is: equal identities give equal weights.

    Attributes:
        known: {part: {name: plain value}}, such as {"config": {"lr": 0.1}}.
        unknown: {part or part.name: what it is} of what cannot be compared.
        key: What the caller says in place of the unknown.
    """

    known: dict[str, Plain]
    unknown: dict[str, str]
    key: Plain = None

    @classmethod
    def of(cls, parts: Mapping[str, object], *, key: Plain = None) -> Identity:
        """Describe what a run is made of.

        Args:
            parts: {part: value}; of a dictionary each entry is described by itself.
            key: See `fit`.

        Returns:
            The identity.

        Raises:
            ValueError: If the key is no plain value.
        """
        known: dict[str, Plain] = {}
        unknown: dict[str, str] = {}
        for part, value in parts.items():
            entries = value if isinstance(value, Mapping) else {"": value}
            for name, entry in entries.items():
                where = f"{part}.{name}" if name else part
                try:
                    if isinstance(entry, NotComparableError):
                        raise entry
                    known[where] = describe(entry)
                except NotComparableError as error:
                    unknown[where] = str(error)
        try:
            return cls(known, unknown, describe(key))
        except NotComparableError as error:
            raise ValueError(f"key={key!r}: expected text, numbers, or lists and dictionaries of them") from error

    def check(self, before: Identity, folder: object) -> None:
        """Refuse to go on with a run that is another one, or may be.

        Args:
            before: What the run in `folder` was begun with.
            folder: Its folder, for errors.

        Raises:
            ValueError: If anything differs, or something cannot be compared and no key is given; says what.
        """
        both = self.unknown.keys() & before.unknown.keys()
        old, new = ({**one.known, **{n: w for n, w in one.unknown.items() if n not in both}} for one in (before, self))
        changed = [f"{name} was {_short(was)}, is {_short(now)}" for name, was, now in _differences(old, new)]
        if before.key is not None and before.key != self.key:
            changed.append(f"key was {_short(before.key)}, is {_short(self.key)}")
        if changed:
            raise ValueError(
                f"{folder} holds a run with other settings: {'; '.join(changed)}. "
                "Train into another folder, or pass resume=False to begin anew"
            )
        if both and self.key is None:
            what = "; ".join(f"{name} is {self.unknown[name]}" for name in sorted(both))
            raise ValueError(
                f"{folder} holds a run that cannot be compared with this one: {what}. Train into another folder, pass "
                "resume=False to begin anew, or, if nothing changed, say so by key='any text of yours'"
            )


def _differences(before: Plain, now: Plain, name: str = "") -> Iterator[tuple[str, Plain, Plain]]:
    """(name, before, now) of the smallest parts that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            inner = f"{name}[{key!r}]" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def _short(value: Plain) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
