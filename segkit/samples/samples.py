"""Samples: annotated images out of any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from segkit.images import ImageSpec
from segkit.samples.base import BaseSamples
from segkit.samples.coco import open_coco
from segkit.samples.folder import open_folder
from segkit.samples.grouping import Group, Strata
from segkit.samples.label_maps import Value, open_label_maps
from segkit.samples.labelme import open_labelme
from segkit.samples.listing import Images
from segkit.samples.mask_files import open_masks
from segkit.samples.rle_csv import Format, open_rle_csv
from segkit.samples.table import Frame, ReadIgnore, ReadImage, ReadMasks, open_images, open_table
from segkit.samples.yolo import open_yolo
from segkit.submission import DEFAULT

Missing = Literal["unlabelled", "negative"]


class Samples(BaseSamples):
    """Annotated images of one split: what audit, folds, training, validation and prediction are given.

    Each `from_` method reads one format; it raises ValueError where there is no image or no annotation of one. Ids are
    the images' file names, or those of a mapping {id: file}. Hidden files count nowhere, linked folders are followed,
    names compare in Unicode's NFC form, an orientation tag turns nothing. Annotations are parsed once, masks drawn when
    asked for; subsets share both. A broken annotation is reported by the audit, and is an error when it is used.

    Attributes:
        ids: Image ids, in order; `classes` in channel order; `groups` {id: group}; `strata` {name: {id: value}}.
        sizes: {id: (height, width)}, read from the files' headers when asked for.
        labelled: Ids of the images that have an annotation, be it of nothing: a negative. `truth`: their masks.
    """

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        split: str = "train",
        classes: Sequence[str] | None = None,
        *,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of ROOT/SPLIT/DCM/GROUP/IMAGE.png with polygons in ROOT/SPLIT/outputs_json/GROUP/IMAGE.json.

        Args:
            root: The folder that holds `split`, or the split's own folder.
            split: "train", "test" or another folder's name.
            classes: In channel order; default: `classes.txt` in the folder or above it, else every label, sorted.
            image: How images are read; default: grey.
            group: A regex with one capture group on the id or path, {id: group} or id -> group; default: the folder
                that the image lies in.
            strata: {name: {id: value}}.

        Returns:
            The samples, sorted by group folder and name; ids are the images' file names.
        """
        return cls(open_folder(root, split, classes, group, strata), image)

    @classmethod
    def from_images(
        cls,
        images: Images,
        classes: Sequence[str] = (),
        *,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Images without annotations, such as those of a test split.

        Args:
            images: A folder, a glob pattern, a list of files, or {id: a file, or several that are stacked as channels}.
            classes: What is to be predicted.
            image: As in `from_folder`.
            group: As in `from_folder`; default: every image is its own group.
            strata: As in `from_folder`.

        Returns:
            The samples, none of them labelled.
        """
        return cls(open_images(images, classes, group, strata), image)

    @classmethod
    def from_masks(
        cls,
        images: Images,
        masks: str | Path,
        classes: Sequence[str] | None = None,
        pattern: str | None = None,
        *,
        threshold: float | None = None,
        missing: Missing = "unlabelled",
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of binary mask files, one a class or one an object; files of one image and class are joined.

        Args:
            images: As in `from_images`.
            masks: The folder of the masks, of any image format.
            classes: In channel order; default: those that the pattern finds, sorted, or "mask" where it names none.
            pattern: Where below `masks` they lie: {stem} is the image's name without its ending, {image} with it,
                {class} the class, * anything within one part, **/ any folders. "{stem}_{class}.png",
                "{stem}/masks/*.png". Default: "**/{stem}.*", or "**/{class}/{stem}.*" of several classes.
            threshold: Values above it are set, for masks with soft edges; default: the one value beside 0.
            missing: What an image without a mask file is; one with an empty mask is a negative.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_masks(images, masks, classes, pattern, threshold, missing, group, strata), image)

    @classmethod
    def from_label_maps(
        cls,
        images: Images,
        maps: str | Path,
        classes: Mapping[str, Value],
        ignore: Value | Sequence[Value] | None = None,
        pattern: str | None = None,
        *,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of label maps, one an image, whose values are classes: these are exclusive.

        Args:
            images: As in `from_images`.
            maps: The folder of the maps: grey, palette (its numbers) or RGB.
            classes: {name: number, or colour as (red, green, blue) or "#rrggbb"}, in channel order. 0 or black that is
                not named is no class, any other value an error.
            ignore: Value or values of pixels that count nowhere.
            pattern: As in `from_masks`, without {class}.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_label_maps(images, maps, classes, ignore, pattern, group, strata), image)

    @classmethod
    def from_rle_csv(
        cls,
        csv: str | Path,
        images: Images,
        format: Format = DEFAULT,
        classes: Sequence[str] | None = None,
        *,
        missing: Missing = "unlabelled",
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of a competition's train.csv with RLE; an image all of whose rows are empty is a negative.

        Args:
            csv: The file; names of images are with or without the endings of files.
            images: As in `from_images`.
            format: Its columns and conventions, as `segkit.submission.SubmissionFormat` has them; default:
                image_name, class, rle.
            classes: In channel order; default: those of the file, or "mask" where it names none.
            missing: What an image without a row is; some files leave negatives out.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_rle_csv(csv, images, format, classes, missing, group, strata), image)

    @classmethod
    def from_coco(
        cls,
        json: str | Path,
        images: str | Path,
        classes: Sequence[str] | None = None,
        *,
        crowd: Literal["ignore", "label"] = "ignore",
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of a COCO file; ids are its file_name, and an image that it lists without annotations is a negative.

        Args:
            json: The file with images, annotations and categories.
            images: The folder that the file_name are below.
            classes: Categories to read, in channel order; default: all, in the file's order.
            crowd: Whether crowds (iscrowd) count nowhere, or belong to their class.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_coco(json, images, classes, crowd, group, strata), image)

    @classmethod
    def from_yolo(
        cls,
        images: Images,
        labels: str | Path,
        classes: Sequence[str] | str | Path,
        *,
        missing: Missing = "unlabelled",
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of YOLO segmentation text; an empty file is a negative.

        Args:
            images: As in `from_images`.
            labels: The folder of the text files.
            classes: Names in the order of their numbers, or a data.yaml.
            missing: What an image without a text file is.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_yolo(images, labels, classes, missing, group, strata), image)

    @classmethod
    def from_labelme(
        cls,
        folder: str | Path,
        images: str | Path | None = None,
        classes: Sequence[str] | None = None,
        *,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of LabelMe files: polygons, rectangles, circles and masks; points and lines have no area.

        Args:
            folder: The folder of the JSON files.
            images: The folder of the images; default: `folder`.
            classes: In channel order; default: every label, sorted.
            image: As in `from_folder`.
            group: As in `from_images`.
            strata: As in `from_folder`.

        Returns:
            The samples.
        """
        return cls(open_labelme(folder, images, classes, group, strata), image)

    @classmethod
    def from_table(
        cls,
        frame: Frame,
        read_image: ReadImage | None = None,
        read_masks: ReadMasks | None = None,
        classes: Sequence[str] | None = None,
        *,
        read_ignore: ReadIgnore | None = None,
        exclusive: bool = False,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of anything else: a row an image, and functions that read it.

        Args:
            frame: A DataFrame or dictionaries with "id", without `read_image` "image" (a file or several); "group".
            read_image: row -> array (H, W) or (H, W, C); row is a dictionary.
            read_masks: row -> {class: mask (H, W), Runs or Polygons}, {} for a negative; without it no row is labelled.
            classes: In channel order; default: as `read_masks` names them, for which every row is read.
            read_ignore: row -> mask (H, W) or Runs of the pixels that count nowhere, or None.
            exclusive: Whether a pixel has at most one class.
            image: As in `from_folder`.
            group: As in `from_images`; default: the column "group", else every image is its own.
            strata: As in `from_folder`.

        Returns:
            The samples. Functions of a module, not lambdas, reach worker processes.
        """
        functions = read_image, read_masks, read_ignore
        return cls(open_table(frame, *functions, classes, exclusive, group, strata), image)
