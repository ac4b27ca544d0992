"""One tiny data set in every source format: a row a source. A new source adds a function and its row.

Images a.png (an L of class one, a rectangle of class two), b.png (a negative) and c.png (no annotation).
"""

import base64
import json

import cv2
import numpy as np

from segkit.rle import Runs, to_coco
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

SIZE = (12, 16)
CLASSES = ("one", "two")
L_SHAPE = [[1, 1], [3, 1], [3, 7], [8, 7], [8, 9], [1, 9]]
BOX = [[10, 2], [14, 2], [14, 6], [10, 6]]


def masks():
    one, two = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    one[1:10, 1:4] = one[7:10, 1:9] = two[2:7, 10:15] = 1
    return {"one": one.astype(bool), "two": two.astype(bool)}


def draw_images(folder, names=("a.png", "b.png", "c.png")):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        image = np.random.default_rng(ord(name[0])).integers(0, 255, SIZE, dtype=np.uint8)
        assert cv2.imwrite(str(folder / name), image)


def save(path, mask, value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * value)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def folder_layout(root, **more):
    for name in "abc":
        draw_images(root / "train/DCM/P1", [f"{name}.png"])
    shapes = [{"label": label, "points": points} for label, points in (("one", L_SHAPE), ("two", BOX))]
    write(root / "train/outputs_json/P1/a.json", {"annotations": shapes})
    write(root / "train/outputs_json/P1/b.json", {"annotations": []})
    return Samples.from_folder(root, **more)


def mask_of_each_class(root, **more):
    draw_images(root / "images")
    for cls, mask in masks().items():
        save(root / "masks" / cls / "a.png", mask)
    save(root / "masks/one/b.png", np.zeros(SIZE))
    return Samples.from_masks(root / "images", root / "masks", CLASSES, **more)


def mask_named_by_class(root, **more):
    draw_images(root)
    for cls, mask in masks().items():
        save(root / f"a_{cls}.bmp", mask, 1)
    save(root / "b_two.bmp", np.zeros(SIZE))
    return Samples.from_masks(root / "*.png", root, pattern="{stem}_{class}.bmp", **more)


def mask_of_each_object(root, **more):
    for name in "abc":
        draw_images(root / name / "images", [f"{name}.png"])
    parts = masks()
    save(root / "a/one/0.png", parts["one"] & (np.arange(16) < 3))
    save(root / "a/one/1.png", parts["one"] & (np.arange(16) >= 2))
    save(root / "a/two/0.tif", parts["two"])
    save(root / "b/two/7.png", np.zeros(SIZE))
    return Samples.from_masks(root / "*/images/*", root, CLASSES, "{stem}/{class}/*", **more)


def numbers(root, **more):
    draw_images(root / "images")
    parts = masks()
    save(root / "maps/a.png", parts["one"] * 3 + parts["two"] * 7, 1)
    save(root / "maps/b.png", np.zeros(SIZE), 1)
    return Samples.from_label_maps(root / "images", root / "maps", {"one": 3, "two": 7}, **more)


def colours(root, **more):
    draw_images(root / "images")
    parts = masks()
    red, blue = np.array([255, 0, 0]), np.array([0, 0, 255])
    picture = parts["one"][..., None] * red + parts["two"][..., None] * blue
    save(root / "maps/a_L.png", picture[..., ::-1], 1)
    save(root / "maps/b_L.png", picture, 0)
    classes = {"one": (255, 0, 0), "two": "#0000ff"}
    return Samples.from_label_maps(root / "images", root / "maps", classes, pattern="{stem}_L.png", **more)


def coco_polygons(root, **more):
    draw_images(root / "images", ["a.png", "b.png"])
    around = [[[1, 1], [4, 1], [4, 7], [9, 7], [9, 10], [1, 10]], [[10, 2], [15, 2], [15, 7], [10, 7]]]  # along edges
    write(root / "coco.json", coco([(number, [np.ravel(points).tolist()]) for number, points in zip((4, 9), around)]))
    return Samples.from_coco(root / "coco.json", root / "images", **more)


def coco_runs(root, **more):
    draw_images(root / "images", ["a.png", "b.png"])
    runs = [Runs.from_mask(mask) for mask in masks().values()]
    write(root / "coco.json", coco([(4, to_coco(runs[0])), (9, to_coco(runs[1], counts="list"))]))
    return Samples.from_coco(root / "coco.json", root / "images", **more)


def coco(segmentations, **more):
    """A COCO file of a.png with these (category, segmentation), and b.png without."""
    images = [{"id": k, "file_name": f"{'ab'[k]}.png", "height": SIZE[0], "width": SIZE[1]} for k in range(2)]
    rows = [
        {"id": number, "image_id": 0, "category_id": category, "segmentation": given, "iscrowd": 0, **more}
        for number, (category, given) in enumerate(segmentations)
    ]
    return {"images": images, "annotations": rows, "categories": [{"id": 4, "name": "one"}, {"id": 9, "name": "two"}]}


def yolo(root, **more):
    draw_images(root / "images")
    lines = []
    for number, points in enumerate((L_SHAPE, BOX)):
        shares = (np.array(points) + 0.5) / SIZE[::-1]
        lines.append(" ".join([str(number), *map(str, shares.ravel().tolist())]))
    write(root / "labels/a.txt", "\n".join(lines) + "\n")
    write(root / "labels/b.txt", "")
    write(root / "data.yaml", "names: [one, two]\n")
    return Samples.from_yolo(root / "images", root / "labels", root / "data.yaml", **more)


def labelme(root, **more):
    draw_images(root)
    shapes = [
        {"label": "one", "points": [[x + 0.5, y + 0.5] for x, y in L_SHAPE], "shape_type": "polygon"},
        {"label": "two", "points": [BOX[0], BOX[2]], "shape_type": "rectangle"},
    ]
    said = {"imagePath": "a.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    write(root / "a.json", {"shapes": shapes, **said})
    write(root / "b.json", {"shapes": [], **said})
    return Samples.from_labelme(root, **more)


def labelme_masks(root, **more):
    draw_images(root)
    shapes = []
    for label, mask in masks().items():
        rows, columns = np.nonzero(mask)
        box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.uint8) * 255
        png = base64.b64encode(cv2.imencode(".png", box)[1].tobytes()).decode()
        corners = [[int(columns.min()), int(rows.min())], [int(columns.max()), int(rows.max())]]
        shapes.append({"label": label, "points": corners, "shape_type": "mask", "mask": png})
    said = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    write(root / "a.json", {"shapes": shapes, **said})
    write(root / "b.json", {"shapes": [], **said})
    return Samples.from_labelme(root, **more)


def rle_csv(root, **more):
    draw_images(root / "images")
    runs = {cls: Runs.from_mask(mask) for cls, mask in masks().items()}
    rows = [f"a,one,{runs['one'].text()}", f"a,two,{runs['two'].text()}", "b,one,", "b,two,"]
    write(root / "train.csv", "\n".join(["image_name,class,rle", *rows]) + "\n")
    return Samples.from_rle_csv(root / "train.csv", root / "images", **more)


def rle_csv_of_keys(root, **more):
    draw_images(root / "images")
    form = SubmissionFormat(("ImageId_ClassId", "EncodedPixels"), key="{image}_{class}", order="F", empty="-1")
    empty = Runs([], SIZE)
    rows = {
        "a.png": {cls: Runs.from_mask(mask) for cls, mask in masks().items()},
        "b.png": dict.fromkeys(CLASSES, empty),
    }
    form.write(root / "train.csv", rows)
    return Samples.from_rle_csv(root / "train.csv", root / "images", form, CLASSES, **more)


def read_masks(row):
    return masks() if row["id"] == "a.png" else {}


def table(root, **more):
    draw_images(root)
    rows = [{"id": f"{name}.png", "image": root / f"{name}.png"} for name in "ab"]
    return Samples.from_table(rows, read_masks=read_masks, **more)


SOURCES = {
    "folder": folder_layout,
    "masks by folder": mask_of_each_class,
    "masks by name": mask_named_by_class,
    "masks by object": mask_of_each_object,
    "label numbers": numbers,
    "label colours": colours,
    "coco polygons": coco_polygons,
    "coco runs": coco_runs,
    "yolo": yolo,
    "labelme": labelme,
    "labelme masks": labelme_masks,
    "rle csv": rle_csv,
    "rle csv of keys": rle_csv_of_keys,
    "table": table,
}
