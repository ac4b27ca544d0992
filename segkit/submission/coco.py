"""CocoFile: a COCO data set in JSON whose segmentations are run lengths."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segkit.files import read_json, write_atomic
from segkit.masks import MaskSet
from segkit.rle import RepairWarning, Runs, at_least, from_coco, repair_coco, to_coco
from segkit.rle.coco import box
from segkit.submission import specs
from segkit.submission.names import FolderSizes
from segkit.submission.problems import Problems, compare_rows
from segkit.submission.rows import Masks, SizesLike, as_runs, rows_of, size_of


@dataclass(frozen=True)
class CocoFile:
    """A COCO data set with images, categories and annotations of run lengths.

    An empty mask is no annotation. Polygons are for segkit.samples.

    Args:
        counts: "text" (compressed) or "list" of numbers; both are read alike.
    """

    counts: Literal["text", "list"] = "text"

    def __post_init__(self) -> None:
        if self.counts not in ("text", "list"):
            raise ValueError(f"expected counts 'text' or 'list', got counts={self.counts!r}")

    def __str__(self) -> str:
        return specs.spec_of(self, kind="coco")

    def write(
        self,
        path: str | Path,
        masks: Masks,
        ids: Sequence[str] | None = None,
        *,
        like: str | Path | None = None,
        sizes: SizesLike = None,
    ) -> Path:
        """Write masks; rows of one image and class that come again are annotations of their own.

        Args:
            path: The JSON.
            masks: As for SubmissionFormat.write.
            ids: The images to write, in order; default all.
            like: A data set whose images are written, in place of `ids`.
            sizes: (height, width) of every image or {image: (height, width)}, for masks that know no shape.

        Returns:
            The path.

        Raises:
            ValueError: Names image and class of a mask that cannot be written.
        """
        ids = ids if like is None else _DataSet(Path(like)).sizes.keys()  # type: ignore[assignment]
        image_ids: dict[str, int] = {}
        class_ids: dict[str, int] = {}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image, cls, mask in rows_of(masks, None if ids is None else list(ids)):
            try:
                runs = as_runs(mask, size_of(sizes, image))
                if runs.shape is None:
                    raise ValueError("COCO needs the image's size (height, width): pass sizes")
                segmentation = to_coco(runs, counts=self.counts)
            except ValueError as error:
                raise ValueError(f"image {image}, class {cls}: {error}") from error
            height, width = segmentation["size"]
            if image not in image_ids:
                image_ids[image] = len(image_ids) + 1
                images.append({"id": image_ids[image], "file_name": image, "height": height, "width": width})
            category = class_ids.setdefault(cls, len(class_ids) + 1)
            if runs:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_ids[image],
                        "category_id": category,
                        "segmentation": segmentation,
                        "area": runs.area,
                        "bbox": box(runs),
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": number, "name": cls} for cls, number in class_ids.items()]
        data = {"images": images, "categories": categories, "annotations": annotations}
        write_atomic(path, json.dumps(data) + "\n")
        return Path(path)

    def read(self, path: str | Path, sizes: SizesLike = None, repair: bool = False) -> MaskSet:
        """Read a data set; its texts are in memory, its masks are made when asked for.

        Args:
            path: The JSON.
            sizes: Must be None: the file has its own.
            repair: Repair counts as segkit.rle.repair_coco does, and warn (RepairWarning) with image and class.

        Returns:
            A mask for every image and category: the union of their annotations.

        Raises:
            ValueError: Names the file, and the annotation, image and class of what is wrong.
        """
        if sizes is not None:
            raise ValueError(f"{path}: a COCO file has its own sizes; pass none")
        data = _DataSet(Path(path))
        parts: dict[tuple[str, str], list[Runs]] = {}
        for image, cls, runs in data.annotations(repair):
            parts.setdefault((image, cls), []).append(runs)

        def load(image: str, cls: str) -> Runs:
            found = parts.get((image, cls))
            return at_least(found, 1) if found else Runs([], data.sizes[image])

        return MaskSet(data.sizes, data.classes, load, sizes=data.sizes, name=str(path))

    def rows(self, path: str | Path, sizes: SizesLike = None, repair: bool = False) -> Iterator[tuple[str, str, Runs]]:
        """The annotations in their order.

        Args:
            path: The JSON.
            sizes: Must be None.
            repair: As for read().

        Returns:
            (image, class, mask) of each.
        """
        if sizes is not None:
            raise ValueError(f"{path}: a COCO file has its own sizes; pass none")
        return _DataSet(Path(path)).annotations(repair)

    def validate(
        self,
        path: str | Path,
        like: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        images: str | Path | None = None,
    ) -> dict[str, int]:
        """Check a data set: its images, categories and every annotation.

        Args:
            path: The JSON.
            like: A data set whose images and categories to expect.
            ids: The images to expect, in place of `like`.
            classes: The categories to expect, in place of `like`.
            images: Folder of the images: each must be listed with its size.

        Returns:
            {"rows", "images", "classes", "empty"}: annotations, images, categories, images without an annotation.

        Raises:
            ValueError: Lists the first 20 problems and counts the others.
        """
        data, found = _DataSet(Path(path)), Problems(path)
        annotated = {image for image, _, _ in data.annotations(False)}
        if like is not None:
            sample = _DataSet(Path(like))
            ids, classes = tuple(sample.sizes), tuple(sample.classes)
        if ids is not None:
            compare_rows(found, dict.fromkeys((image,) for image in data.sizes), [(image,) for image in ids])
        if classes is not None and list(classes) != data.classes:
            found.add(f"expected the categories {list(classes)}, got {data.classes}")
        folder = {} if images is None else FolderSizes(images)
        for image in folder:
            if data.sizes.get(image) != folder[image]:
                found.add(f"image {image}: expected size {folder[image]}, as in {images}, got {data.sizes.get(image)}")
        found.raise_any()
        counts = (len(data.found["annotations"]), len(data.sizes), len(data.classes), len(data.sizes) - len(annotated))
        return dict(zip(("rows", "images", "classes", "empty"), counts))


class _DataSet:
    """A data set on disk: {"images": [...], "categories": [...], "annotations": [...]}."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, read_json(path)
        for what in ("images", "categories", "annotations"):
            entries = self.found.get(what) if isinstance(self.found, dict) else None
            if not isinstance(entries, list):
                raise ValueError(f"{path} is no COCO data set: expected a list of {what}, got {entries!r:.80}")
            for number, entry in enumerate(entries):
                if not isinstance(entry, dict):
                    raise ValueError(f"{path}: entry {number} of {what} is no object but {entry!r:.80}")
        try:
            images = {image["id"]: image for image in self.found["images"]}
            self.names = {category["id"]: str(category["name"]) for category in self.found["categories"]}
            self.images = {key: str(image["file_name"]) for key, image in images.items()}
            self.sizes = {str(image["file_name"]): _size(image, path) for image in images.values()}
        except (KeyError, TypeError) as error:
            parts = "images (id, file_name, height, width), categories (id, name) and annotations"
            raise ValueError(
                f"{path} is no COCO data set: expected {parts}; {type(error).__name__}: {error}"
            ) from error
        self.classes = list(self.names.values())
        for what, count, given in (
            ("file_name", len(self.sizes), self.found["images"]),
            ("category", len(set(self.classes)), self.found["categories"]),
        ):
            if count != len(given):
                raise ValueError(f"{path}: {len(given)} entries have {count} different ids and names of a {what}")

    def annotations(self, repair: bool) -> Iterator[tuple[str, str, Runs]]:
        for number, annotation in enumerate(self.found["annotations"]):
            where = f"{self.path}, annotation {annotation.get('id', number)}"
            try:
                image, cls = self.images[annotation["image_id"]], self.names[annotation["category_id"]]
                where += f", image {image}, class {cls}"
                value = annotation["segmentation"]
                runs, notes = repair_coco(value) if repair else (from_coco(value), ())
                if notes:
                    text = f"{where}: the COCO counts were repaired: {'; '.join(notes)}"
                    warnings.warn(text, RepairWarning, stacklevel=3)
                if runs.shape != self.sizes[image]:
                    raise ValueError(f"its run lengths are of {runs.shape}, the image is {self.sizes[image]}")
            except KeyError as error:
                raise ValueError(f"{where}: no {error.args[0]!r}") from error
            except TypeError as error:
                ids = {key: annotation[key] for key in ("image_id", "category_id")}
                raise ValueError(f"{where}: expected ids of an image and a category, got {ids}") from error
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            yield image, cls, runs


def _size(image: Mapping[str, Any], path: Path) -> tuple[int, int]:
    try:
        shape = Runs([], (image["height"], image["width"])).shape
    except ValueError as error:
        raise ValueError(f"{path}, image {image['file_name']}: {error}") from error
    assert shape is not None
    return shape
