"""Which image a name means: submissions name images with or without their files' endings, in any Unicode form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from segkit.files import nearest, nfc, visible_files
from segkit.images import SUFFIXES, image_size, without_suffix

Size = tuple[int, int]


class Names:
    """Known images, found by their ids or by their ids without the ending.

    Args:
        ids: The known images; None: every name is an id.
    """

    def __init__(self, ids: Iterable[str] | None) -> None:
        self.ids = None if ids is None else tuple(ids)
        self._exact: dict[str, str] = {}
        self._stems: dict[str, list[str]] = {}
        for image in self.ids or ():
            self._exact[nfc(image)] = image
            self._stems.setdefault(without_suffix(nfc(image)), []).append(image)

    def find(self, name: str) -> str | None:
        """The id that a name means, None where no image or more than one goes by it.

        Args:
            name: Of a cell or file.
        """
        if self.ids is None:
            return name
        name = nfc(name)
        if name in self._exact:
            return self._exact[name]
        found = self._stems.get(without_suffix(name), [])
        return found[0] if len(found) == 1 else None

    def resolve(self, name: str) -> str:
        """The id that a name means.

        Args:
            name: Of a cell or file.

        Returns:
            The id.

        Raises:
            ValueError: Where no image, or more than one, goes by that name.
        """
        image = self.find(name)
        if image is None:
            found = self._stems.get(without_suffix(nfc(name)), [])
            which = ", ".join(found) if found else nearest(name, self.ids or ())
            raise ValueError(f"{len(found)} images go by the name {name!r}, expected one; {which}")
        return image


class FolderSizes(Mapping[str, Size]):
    """{id: (height, width)} of the images of a folder; a file's header is read when its size is asked for.

    Args:
        folder: Searched to its depths; hidden files and folders are passed over. Ids are the files' names.

    Raises:
        ValueError: Where there is no image, or two have one name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._paths: dict[str, Path] = {}
        self._known: dict[str, Size] = {}
        for path in visible_files(folder):
            if path.suffix.lower() not in SUFFIXES:
                continue
            if path.name in self._paths:
                raise ValueError(f"image {path.name}: both {self._paths[path.name]} and {path}")
            self._paths[path.name] = path
        if not self._paths:
            raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)})")

    def __getitem__(self, image: str) -> Size:
        if image not in self._known:
            self._known[image] = image_size(self._paths[image])
        return self._known[image]

    def __contains__(self, image: object) -> bool:
        return image in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
