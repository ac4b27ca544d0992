"""Formats as one line of text, for configs and command lines: "columns=ImageId,EncodedPixels order=F empty=-1"."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from segkit.files import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings")


def spec_of(value: DataclassInstance, *, kind: str = "", always: Sequence[str] = ()) -> str:
    """A format's line: the settings that are not the default.

    Args:
        value: The format, a dataclass.
        kind: The word that begins the line.
        always: Settings that are named even where they are the default.

    Returns:
        The line, which segkit.submission.parse reads.
    """
    words = [kind] if kind else []
    for field in dataclasses.fields(value):
        setting = getattr(value, field.name)
        if field.name in always or setting != field.default:
            words.append(_word(field.name, setting))
    return " ".join(words)


def with_settings(base: Settings, words: Sequence[str]) -> Settings:
    """A format with other settings.

    Args:
        base: Where the settings come from that no word names.
        words: Such as "order=F" or "columns=id,rle"; a flag such as "relative" alone is true.

    Returns:
        The format.

    Raises:
        ValueError: For a word that names no setting, or a value of another kind.
    """
    whole: Any = base  # a dataclass; a Protocol cannot say so
    fields = {field.name: field for field in dataclasses.fields(whole)}
    given: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in fields:
            raise ValueError(f"a format has no setting {name!r}; {nearest(name, fields)}")
        if name in given:
            raise ValueError(f"setting {name} is given twice")
        given[name] = _value(name, text, "=" in word, fields[name].default)
    changed: Settings = dataclasses.replace(whole, **given)
    return changed


def _word(name: str, setting: object) -> str:
    if isinstance(setting, bool):
        return name if setting else f"{name}=false"
    text = ",".join(map(str, setting)) if isinstance(setting, tuple) else str(setting)
    return shlex.quote(f"{name}={text}") if any(mark in text for mark in " \t\"'\\") else f"{name}={text}"


def _value(name: str, text: str, is_given: bool, default: object) -> object:
    """The text as what the setting is."""
    if isinstance(default, bool):
        if text.lower() not in ("", "true", "false", "1", "0"):
            raise ValueError(f"expected {name} alone, {name}=true or {name}=false, got {name}={text}")
        return text.lower() in ("", "true", "1")
    if not is_given:
        raise ValueError(f"expected {name}=VALUE, got {name!r} alone")
    if isinstance(default, tuple):
        parts = text.split(",")
        return (
            tuple(_integer(name, part) for part in parts) if default and isinstance(default[0], int) else tuple(parts)
        )
    return _integer(name, text) if isinstance(default, int) else text


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected {name} to be an integer, got {text!r}") from None
