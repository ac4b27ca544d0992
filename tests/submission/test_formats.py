"""Formats as values: settings that contradict each other, lines of text, keys, names, and what writers refuse."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.submission import CocoFile, MaskFiles, PixelLabels, SubmissionFormat, convert, parse
from segkit.submission.keys import Keys
from segkit.submission.known import KNOWN
from segkit.submission.names import FolderSizes, Names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("rle",)}, "expected columns of image, class and RLE"),
        ({"columns": ("a", "a", "rle")}, "expected columns"),
        ({"columns": ("a", "", "rle")}, "expected columns"),
        ({"columns": ("a", "b", "c", "d")}, "expected columns"),
        ({"key": "{class}"}, "no {class}, which has a column"),
        ({"key": "{image}{stem}"}, r"expected a key with \{image\} or \{stem\} once"),
        ({"columns": ("k", "r"), "key": "{image}{class}{class}"}, r"\{class\} at most once"),
        ({"columns": ("k", "r"), "key": "name"}, "expected a key with"),
        ({"order": "A"}, "order='A'"),
        ({"start": 2}, "start=2"),
        ({"empty": "1 1"}, "expected empty to be no RLE text, got '1 1'"),
    ],
)
def test_settings_that_contradict_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        SubmissionFormat(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PixelLabels(size=(0, 4)), "expected a size"),
        (lambda: PixelLabels(first=2), "first 0 or 1"),
        (lambda: PixelLabels(key="{image}_{class}"), "expected a key of the image alone"),
        (lambda: PixelLabels(columns=("a", "b", "c")), "expected columns"),
        (lambda: MaskFiles(".jpg"), "expected suffix"),
        (lambda: MaskFiles(value=0), "expected a value of 1 to 255"),
        (lambda: MaskFiles(key="{class}_{stem}"), "expected a key of the image alone"),
        (lambda: CocoFile("bytes"), "expected counts"),
    ],
)
def test_settings_of_the_others(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- lines of text ---------------------------------------------------------------------------------------------------
def test_lines_of_text():
    assert parse("") == SubmissionFormat()
    assert parse("default") == SubmissionFormat()
    siim = SubmissionFormat(("ImageId", "EncodedPixels"), "{stem}", "F", 0, True, "-1")
    assert parse("siim") == siim
    assert parse("siim relative=false start=1").start == 1
    assert parse("kaggle-columns-0", siim) == parse("order=F start=0 relative=false", siim)
    assert parse("kaggle-rows-1-relative").relative
    assert parse("relative").relative
    assert parse("'empty=no mask'").empty == "no mask"
    assert parse(str(SubmissionFormat(empty="no mask"))).empty == "no mask"
    assert parse("columns=a,b empty=") == SubmissionFormat(("a", "b"))
    assert parse("coco-list") == CocoFile("list")
    assert {name: type(parse(line)) for name, line in KNOWN.items()} == {name: type(parse(name)) for name in KNOWN}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("severstahl", "no format 'severstahl'; did you mean severstal"),
        ("ordr=F", "a format has no setting 'ordr'; did you mean order"),
        ("order=F order=C", "setting order is given twice"),
        ("start=one", "expected start to be an integer, got 'one'"),
        ("relative=maybe", "expected relative alone"),
        ("tgs order", "expected order=VALUE"),
        ("labels size=4", "expected a size"),
        ("nowhere.csv", r"no format 'nowhere\.csv'"),
    ],
)
def test_lines_that_say_nothing(line, message):
    with pytest.raises(ValueError, match=message):
        parse(line)


# -- keys and names --------------------------------------------------------------------------------------------------
@given(
    st.text(min_size=1),
    st.text(min_size=1),
    st.sampled_from(["{image}_{class}", "{class}:{image}", "k{image}/{class}."]),
)
def test_a_key_is_read_as_it_was_written_where_classes_are_known(image, cls, pattern):
    keys = Keys(False, pattern)
    assert keys.names(keys.cells(image, cls), [cls]) == (image, cls)


def test_keys_without_known_classes_split_at_the_last_or_first_separator():
    keys = Keys(False, "{image}_{class}")
    assert keys.names(["a_b_large_bowel"]) == ("a_b_large", "bowel")
    assert keys.names(["a_b_large_bowel"], ["bowel", "large_bowel"]) == ("a_b", "large_bowel")
    assert Keys(False, "{class}_{image}").names(["x_a_b"]) == ("a_b", "x")
    with pytest.raises(ValueError, match=r"expected a key like '\{image\}_\{class\}', got 'ab'"):
        keys.names(["ab"])
    with pytest.raises(ValueError, match=r"with a class of x, y, got 'a_z'"):
        keys.names(["a_z"], ["x", "y"])


def test_names_with_and_without_endings_in_any_unicode_form():
    names = Names(["caf\u00e9.png", "b.jpg", "b.png", "1.2.3"])
    assert names.resolve("cafe\u0301") == names.resolve("cafe\u0301.png") == "caf\u00e9.png"
    assert names.resolve("1.2.3") == names.resolve("1.2.3.dcm") == "1.2.3"
    assert names.find("b") is None
    assert Names(None).resolve("anything") == "anything"
    for name, message in (("b", "2 images go by the name 'b', expected one; b.jpg, b.png"), ("c", "0 images")):
        with pytest.raises(ValueError, match=message):
            names.resolve(name)


def test_sizes_of_a_folder(tmp_path):
    for name in ("a.png", "p/b.tif", ".hidden/c.png", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 3)).save(tmp_path / name)
    sizes = FolderSizes(tmp_path)
    assert dict(sizes) == {"a.png": (3, 4), "b.tif": (3, 4)}
    Image.new("L", (4, 3)).save(tmp_path / "p" / "a.png")
    with pytest.raises(ValueError, match=r"image a\.png: both .*a\.png and .*p.a\.png"):
        FolderSizes(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none holds no images"):
        FolderSizes(tmp_path / "none")


# -- writing and reading ---------------------------------------------------------------------------------------------
def test_files_written_by_hand(tmp_path):
    mask = np.array([[0, 1, 1], [1, 0, 1]], bool)
    lines = {
        "": "image_name,class,rle\na.png,x,2 3 6 1\na.png,y,\n",
        "order=F": "image_name,class,rle\na.png,x,2 2 5 2\na.png,y,\n",
        "start=0 empty=-1": "image_name,class,rle\na.png,x,1 3 5 1\na.png,y,-1\n",
        "relative start=0": "image_name,class,rle\na.png,x,1 3 1 1\na.png,y,\n",
        "columns=k,r key={stem}/{class}": "k,r\na/x,2 3 6 1\na/y,\n",
        "objects start=0": "image_name,class,rle\na.png,x,1 3 5 1\na.png,y,\n",
        "columns=id,kind,rle key=img-{image}": "id,kind,rle\nimg-a.png,x,2 3 6 1\nimg-a.png,y,\n",
    }
    for line, text in lines.items():
        path = parse(line).write(tmp_path / "s.csv", {"a.png": {"x": mask, "y": np.zeros((2, 3), bool)}})
        assert path.read_text() == text
    two = np.array([[1, 0, 1], [1, 0, 1]], bool)
    path = parse("columns=ImageId,EncodedPixels order=F objects").write(
        tmp_path / "s.csv", {"a": {"x": two}, "b": {"x": ~two[:0]}}
    )
    assert path.read_text() == "ImageId,EncodedPixels\na,1 2\na,5 2\nb,\n"


def test_masks_come_as_runs_arrays_text_or_objects(tmp_path):
    form = SubmissionFormat(("id", "rle"), order="F", objects=True)
    rows = [("a", "x", "1 1 3 1"), ("b", "x", np.eye(2, dtype=np.uint8)), ("c", "x", [Runs([[0, 1]]), Runs([[1, 2]])])]
    path = form.write(tmp_path / "s.csv", rows, sizes=(2, 2))
    assert path.read_text() == "id,rle\na,1 2\nb,1 1 4 1\nc,1 1\nc,3 1\n"
    with pytest.raises(ValueError, match="image a, class x: these runs have no shape"):
        form.write(path, rows)


def test_a_sample_of_any_columns_is_filled_in(tmp_path):
    (tmp_path / "sample.csv").write_text('Usage,ImageId,EncodedPixels,Class\np,b,1 1,y\n"q,r",a,1 1,x\np,b,1 1,x\n')
    form = SubmissionFormat(("ImageId", "Class", "EncodedPixels"))
    masks = MaskSet.from_dict(
        {f"{image}.png": {cls: np.ones((1, n), bool) for n, cls in enumerate("xy", 1)} for image in "abc"}
    )
    path = form.write(tmp_path / "out.csv", masks, like=tmp_path / "sample.csv")
    assert path.read_text() == 'Usage,ImageId,EncodedPixels,Class\np,b,1 2,y\n"q,r",a,1 1,x\np,b,1 1,x\n'
    assert form.validate(path, like=tmp_path / "sample.csv")["rows"] == 3
    for rows, message in (
        ("p,d,1 1,x\n", "line 2: 0 images go by the name 'd'"),
        ("p,a,1 1,z\n", "line 2: no class 'z'"),
    ):
        (tmp_path / "sample.csv").write_text(f"Usage,ImageId,EncodedPixels,Class\n{rows}")
        with pytest.raises(ValueError, match=message):
            form.write(path, masks, like=tmp_path / "sample.csv")
    with pytest.raises(ValueError, match="pass a MaskSet or mapping, and no ids"):
        form.write(path, iter([]), like=tmp_path / "sample.csv")


def test_a_format_without_classes_takes_one(tmp_path):
    form, path = SubmissionFormat(("id", "rle")), tmp_path / "s.csv"
    masks = {"a": {"x": np.ones((1, 1), bool), "y": np.ones((1, 1), bool)}}
    with pytest.raises(ValueError, match="columns id, rle name no class, got masks of 'x' and 'y'"):
        form.write(path, masks)
    form.write(path, {"a": {"salt": np.ones((1, 1), bool)}})
    assert form.read(path).classes == ("mask",)
    assert form.read(path, classes=["salt"])["a"]["salt"].area == 1
    with pytest.raises(ValueError, match="columns id, rle name no class, got masks of x, y"):
        form.write(tmp_path / "t.csv", masks, like=path)


def test_column_order_needs_sizes_and_says_so(tmp_path):
    (tmp_path / "s.csv").write_text("id,rle\na,2 2\n")
    form = SubmissionFormat(("id", "rle"), order="F")
    with pytest.raises(ValueError, match=r"s\.csv, image a, class mask: column-major text needs the image's shape"):
        form.read(tmp_path / "s.csv")["a"]["mask"]
    assert form.read(tmp_path / "s.csv", (2, 2))["a"]["mask"].text() == "2 2"
    assert form.read(tmp_path / "s.csv", {"a.png": (3, 2)})["a.png"]["mask"].text() == "3 1 5 1"


def test_rows_of_an_image_again_are_an_error_that_names_the_setting(tmp_path):
    (tmp_path / "s.csv").write_text("id,rle\na,2 2\na,5 1\n")
    with pytest.raises(ValueError, match="line 3: image a, class mask was there already; objects=True reads"):
        SubmissionFormat(("id", "rle")).read(tmp_path / "s.csv")
    masks = SubmissionFormat(("id", "rle"), objects=True).read(tmp_path / "s.csv")
    assert (list(masks.rows), masks["a"]["mask"].text()) == ([("a", "mask")], "2 2 5 1")


def test_mean_while_relative_text_read_as_absolute_is_refused(tmp_path):
    yy, xx = np.mgrid[:32, :32]
    disc = (yy - 16) ** 2 + (xx - 16) ** 2 < 60
    path = parse("siim").write(tmp_path / "s.csv", {"a": {"x": disc}})
    form = parse("columns=ImageId,EncodedPixels order=F start=0 empty=-1")
    for repair in (False, True):
        with pytest.raises(ValueError, match=r"s\.csv, image a, class mask: .* say relative=True"):
            form.read(path, (32, 32), repair)["a"]["mask"]
    assert parse("siim").read(path, (32, 32))["a"]["mask"] == Runs.from_mask(disc)


def test_convert_between_kinds(tmp_path):
    stripes = {"a.png": {"x": np.array([[1, 0], [1, 0]], bool), "y": np.array([[0, 1], [0, 0]], bool)}}
    source = SubmissionFormat().write(tmp_path / "s.csv", stripes)
    labels = convert(source, tmp_path / "l.csv", "default", "labels size=2,2", sizes=(2, 2))
    assert labels.read_text() == "image_id,PredictionString\na.png,1 2 1 0\n"
    files = convert(source, tmp_path / "files", "default", "files suffix=.png", sizes=(2, 2))
    assert np.asarray(Image.open(files / "a.png")).tolist() == [[1, 2], [1, 0]]
    back = convert(labels, tmp_path / "b.csv", "labels size=2,2", "severstal")
    assert back.read_text() == "ImageId_ClassId,EncodedPixels\na.png_1,1 2\na.png_2,3 1\n"
    with pytest.raises(ValueError, match="expected RLE to repair, got the format labels"):
        convert(labels, tmp_path / "b.csv", "labels size=2,2", "default", repair=True)


def test_images_on_disk(tmp_path):
    for name in ("caf\u00e9.png", "b.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("L", (3, 2)).save(tmp_path / "images" / unicodedata.normalize("NFD", name))
    form, path = parse("columns=id,rle key={stem}"), tmp_path / "s.csv"
    path.write_text("id,rle\ncaf\u00e9,1 6\nb,\n")
    assert form.validate(path, images=tmp_path / "images")["rows"] == 2
    assert form.validate(path, like=path, images=tmp_path / "images")["empty"] == 1
    path.write_text("id,rle\ncaf\u00e9,1 7\nc,\n")
    with pytest.raises(ValueError, match="3 problems") as error:
        form.validate(path, images=tmp_path / "images")
    assert "line 2, image caf\u00e9: token 1 of the RLE text: the run '1 7' ends past the 6 pixels" in str(error.value)
    assert f"line 3, image c: {tmp_path / 'images'} has no such image" in str(error.value)
    assert f"image b.png of {tmp_path / 'images'}: row is missing" in str(error.value)
    with pytest.raises(ValueError, match="expected either images or sizes"):
        form.validate(path, images=tmp_path / "images", sizes=(2, 3))
