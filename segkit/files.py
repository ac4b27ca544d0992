"""Files that exist are whole: everything is written beside its place and renamed into it."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = Any
"""Whatever JSON holds: its reader checks it."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside a file to write to; on success it takes the file's place, else it is removed.

    Args:
        path: The file; its folder is made. A link stays one; a device or pipe is written to, never replaced.

    Yields:
        The path to write to.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    if _is_written_through(path):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder, f"part{path.suffix}")
            part.touch()
            yield part
            with part.open("rb") as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{path.name}.{secrets.token_hex(6)}.part{path.suffix}"
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the umask decides who may read it
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _is_written_through(path: Path) -> bool:
    """Whether a path is no regular file, such as /dev/null, /dev/stdout or a pipe: it is never replaced."""
    try:
        kind = path.stat().st_mode
    except OSError:
        return False
    opened = ("/dev/stdout", "/dev/stderr", "/dev/fd", "/proc")  # regular files too, when the shell redirects to one
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) or any(path.is_relative_to(place) for place in opened)


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write so that `path` is either the old file or the new one.

    Args:
        path: The file.
        content: Text (UTF-8, line feeds as they are) or bytes.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: str | Path, value: object) -> None:
    """Write indented JSON.

    Args:
        path: The file.
        value: NaN becomes null, tuples lists, paths and NumPy numbers plain values.
    """
    write_atomic(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Json:
    """Read a JSON file.

    Args:
        path: The file, in UTF-8 with or without byte order mark.

    Returns:
        Its value.

    Raises:
        ValueError: If it cannot be parsed; names the file and the line.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: A text file.

    Returns:
        The text, line ends as they are.

    Raises:
        ValueError: If the file is in another encoding; names the file.
        FileNotFoundError: If there is no such file.
    """
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, got byte {error.start + 1} of another encoding") from error


def nfc(name: str) -> str:
    """A name in the one form (Unicode NFC) in which names are compared: macOS writes accents and Hangul apart.

    Args:
        name: A file's or a class's name.

    Returns:
        The name as it prints, composed.

    Example:
        >>> nfc("e\u0301") == "\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's data: .git, .ipynb_checkpoints, ._x.json, __MACOSX.

    Args:
        name: Its own name, without folders.

    Returns:
        True for names that begin with a dot, and for __MACOSX.
    """
    return name.startswith(".") or name == "__MACOSX"


def visible_files(folder: str | Path) -> list[Path]:
    """The files below a folder, to any depth; hidden files and folders are left out, linked folders are followed.

    Args:
        folder: The folder.

    Returns:
        Paths sorted part by part, in NFC; a linked folder that holds itself is entered once.

    Raises:
        ValueError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    found: list[Path] = []
    ways: dict[str, frozenset[str]] = {str(folder): frozenset({os.path.realpath(folder)})}
    for place, folders, names in os.walk(folder, followlinks=True):
        above = ways.pop(place)
        kept = []
        for name in folders:
            real = os.path.realpath(os.path.join(place, name))
            if not is_hidden(name) and real not in above:
                kept.append(name)
                ways[os.path.join(place, name)] = above | {real}
        folders[:] = kept
        found += [Path(place, name) for name in names if not is_hidden(name)]
    return sorted(found, key=lambda path: [nfc(part) for part in path.parts])


def plain(value: Json) -> Json:
    """A value in terms that JSON knows.

    Args:
        value: Numbers, text, mappings, sequences, sets, paths, NumPy values.

    Returns:
        The plain value.

    Example:
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


def digest(value: object) -> str:
    """A short hash of settings: equal values, equal hash, on every machine.

    Args:
        value: What `plain` takes.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def digest_of_files(paths: Iterable[str | Path], settings: object = None) -> str:
    """A short hash of the content of files, not of their names, and of how they are read.

    Args:
        paths: The files, in order.
        settings: What `digest` takes.

    Returns:
        Hexadecimal digits.

    Raises:
        ValueError: If a file cannot be read; names it.
    """
    total = hashlib.sha256(digest(settings).encode())
    for path in paths:
        try:
            total.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
    return total.hexdigest()[:16]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about a misspelt name: those it begins, then those it is like.

    Case, punctuation and "+" for "plus" do not matter.

    Args:
        name: What was given.
        known: What there is.

    Returns:
        Text such as "did you mean unet? Known: fpn, unet".

    Example:
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
