"""Files that exist are whole: everything is written beside its place and renamed into it."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; on success it takes the place of `path`, else it is removed.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write text (UTF-8, line feeds as they are) or bytes so that `path` is either the old file or the new one."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN becomes null, tuples lists, paths and NumPy numbers plain values."""
    write_atomic(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. ValueError names the file and the line that cannot be parsed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def plain(value: Any) -> Any:
    """`value` in terms that JSON knows.

    >>> plain({"a": (1, float("nan")), "b": Path("x")})
    {'a': [1, None], 'b': 'x'}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):  # their order changes from process to process
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def digest(value: Any) -> str:
    """A short hash of settings: equal values, equal hash, on every machine.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about a misspelt name: those it begins, then those it is like.

    Case, punctuation and "+" for "plus" do not matter.

    >>> nearest("unett", ["unet", "fpn"])
    'did you mean unet? Known: fpn, unet'
    """
    known = sorted(known)
    if not known:
        return "there are none"
    folded: dict[str, list[str]] = {}
    for one in known:
        folded.setdefault(_folded(one), []).append(one)
    typed = _folded(name)
    begun = sorted((key for key in folded if len(typed) > 2 and key.startswith(typed)), key=lambda key: (len(key), key))
    like = difflib.get_close_matches(typed, folded, n=3, cutoff=0.5)
    near = [one for key in dict.fromkeys([*begun, *like]) for one in folded[key]][:3]
    listed = f"Known: {', '.join(known)}" if len(known) <= 40 else f"{len(known)} names are known"
    return f"did you mean {' or '.join(near)}? {listed}" if near else listed


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower().replace("+", "plus") if letter.isalnum())
