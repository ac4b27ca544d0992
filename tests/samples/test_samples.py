"""What is asked of samples, whatever files they come from: shown on the folder layout."""

import pickle
import shutil

import numpy as np
import pytest

from segkit.geometry import Polygons
from segkit.images import ImageSpec
from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.samples import Annotation, Samples

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
OTHER = [[7, 7], [20, 7], [20, 30], [7, 30]]


@pytest.fixture
def root(data):
    data.pair("b", [("two", OTHER), ("one", SQUARE), ("one", OTHER)], person="ID002")
    data.pair("a", [], person="ID003")
    data.pair("c", [("two", SQUARE)], person="ID002")
    data.image("later.png", person="ID004")
    return data.root


def test_what_there_is(root):
    samples = Samples.from_folder(root)
    assert samples.ids == ("b.png", "c.png", "a.png", "later.png")
    assert samples.classes == ("one", "two")
    assert samples.groups == {"b.png": "ID002", "c.png": "ID002", "a.png": "ID003", "later.png": "ID004"}
    assert samples.labelled == ("b.png", "c.png", "a.png")
    assert samples.sizes == dict.fromkeys(samples.ids, (40, 30))
    assert not samples.exclusive
    assert len(samples) == 4
    assert [sample.id for sample in samples] == list(samples.ids)
    assert samples["b.png"].image == root / "train/DCM/ID002/b.png"
    assert samples.read_image("b.png").shape == (40, 30, 1)
    rgb = Samples.from_folder(root, image=ImageSpec("rgb"))
    assert rgb.read_image("b.png").shape == (40, 30, 3)


def test_truth_of_labelled_images_a_negative_is_one(root):
    samples = Samples.from_folder(root)
    truth = samples.truth
    assert truth.ids == samples.labelled
    assert truth.sizes == dict.fromkeys(truth.ids, (40, 30))
    assert truth["b.png"]["one"].area == 64 + 14 * 24 - 9
    assert truth["a.png"]["one"] == Runs([])
    assert truth["a.png"]["one"].shape == (40, 30)
    assert truth.ignore("a.png") is None
    with pytest.raises(KeyError, match=r"later\.png"):
        truth["later.png"]
    with pytest.raises(ValueError, match=r"later\.png has no annotation"):
        samples.regions("later.png")


def test_regions_come_in_channel_order_with_empty_ones(root):
    regions = Samples.from_folder(root, classes=("three", "two", "one")).regions("b.png")
    assert list(regions) == ["three", "two", "one"]
    assert regions["three"] == Polygons()
    assert regions["one"] == Polygons([np.array(SQUARE), np.array(OTHER)])


def test_a_label_that_is_no_class_is_refused_when_it_is_used(root):
    samples = Samples.from_folder(root, classes=("one", "twoo"))
    with pytest.raises(ValueError, match=r"c\.png: label 'two' is not a class; did you mean twoo"):
        samples.regions("c.png")
    with pytest.raises(ValueError, match=r"c\.png: label 'two'"):
        samples.truth["c.png"]["one"]
    assert samples.truth["a.png"]["one"].area == 0


def test_a_broken_annotation_is_refused_when_it_is_used(root):
    (root / "train/outputs_json/ID002/c.json").write_text("{")
    samples = Samples.from_folder(root)
    assert samples.classes == ("one", "two")
    assert "c.png" in samples.labelled
    with pytest.raises(ValueError, match=r"c\.json is not valid JSON"):
        samples.truth["c.png"]["one"]
    assert samples.fingerprint() != ""


def test_two_images_of_one_name_are_refused_when_they_are_used(data, root):
    data.image("c.png", person="ID009")
    samples = Samples.from_folder(root)
    assert len(samples) == 4
    for use in (samples.read_image, samples.regions):
        with pytest.raises(ValueError, match=r"two images are named c\.png.*ID002.*ID009"):
            use("c.png")
    assert [(p.kind, p.image) for p in samples.problems] == [("repeated-name", "c.png")]


def test_a_subset_shares_what_was_read(root):
    samples = Samples.from_folder(root)
    samples.truth["b.png"]["one"]
    part = samples.subset(["a.png", "b.png"])
    assert part.ids == part.labelled == ("a.png", "b.png")
    (root / "train/outputs_json/ID002/b.json").unlink()
    assert part.truth["b.png"]["one"].area == 64 + 14 * 24 - 9
    assert part.subset(["b.png"]).truth["b.png"]["two"] == samples.truth["b.png"]["two"]
    with pytest.raises(KeyError, match=r"no image 'x\.png'"):
        samples.subset(["x.png"])
    with pytest.raises(ValueError, match="every id once"):
        samples.subset(["a.png", "a.png"])


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (r"([a-z]+)\.png", ["b", "c", "a", "later"]),
        (r"DCM/(ID\d\d)", ["ID00"] * 4),
        ({"a.png": "x", "b.png": "y", "c.png": "x", "later.png": "z"}, ["y", "x", "x", "z"]),
        (str.upper, ["B.PNG", "C.PNG", "A.PNG", "LATER.PNG"]),
    ],
)
def test_groups(root, group, expected):
    assert list(Samples.from_folder(root, group=group).groups.values()) == expected


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("(", "is no regular expression"),
        ("a", r"one capture group \(...\), got 0"),
        (r"^(\d+)$", r"matches neither the id 'b\.png' nor the path .*b\.png"),
        ({"a.png": "x"}, r"no group of image 'b\.png'"),
    ],
)
def test_groups_that_cannot_be(root, group, message):
    with pytest.raises(ValueError, match=message):
        Samples.from_folder(root, group=group)


def test_strata(root):
    samples = Samples.from_folder(root, strata={"pose": {"a.png": "tilted", "c.png": 3}})
    assert samples.strata == {"pose": {"a.png": "tilted", "c.png": "3"}}
    assert samples["a.png"].strata == {"pose": "tilted"}
    assert samples.subset(["b.png", "c.png"]).strata == {"pose": {"c.png": "3"}}
    with pytest.raises(ValueError, match=r"stratum pose: no image 'q\.png'"):
        Samples.from_folder(root, strata={"pose": {"q.png": "x"}})


def test_the_fingerprint_stays_when_data_moves_and_changes_with_all_that_training_sees(data, root, tmp_path):
    first = Samples.from_folder(root)
    same = first.fingerprint()
    shutil.copytree(root, tmp_path / "copy")
    assert Samples.from_folder(tmp_path / "copy").fingerprint() == same
    others = [
        first.subset(first.ids[:2]),
        first.subset(first.ids[::-1]),
        Samples.from_folder(root, classes=("two", "one")),
        Samples.from_folder(root, image=ImageSpec("rgb")),
        Samples.from_folder(root, group=str.upper),
        Samples.from_folder(root, strata={"pose": {"a.png": "x"}}),
        first.with_annotations({"a.png": Annotation({"one": Polygons([np.array(SQUARE)])})}),
        first.with_annotations({"later.png": Annotation({})}),
        first.with_annotations({"a.png": Annotation({}, ignore=Runs([[0, 1]]))}),
    ]
    marks = [other.fingerprint() for other in others]
    data.pair("c", [("two", OTHER)], person="ID002")
    marks.append(Samples.from_folder(root).fingerprint())
    data.image("a.png", person="ID003", shape=(41, 30))
    marks.append(Samples.from_folder(root).fingerprint())
    assert len({same, *marks}) == len(marks) + 1
    nothing = first.with_annotations({"a.png": Annotation({"one": Polygons()})})
    assert nothing.fingerprint() == first.with_annotations({"a.png": Annotation({})}).fingerprint()


def test_other_annotations_leave_the_samples_as_they_were(root):
    samples = Samples.from_folder(root)
    mask = Runs([[3, 7]], (40, 30))
    fixed = samples.with_annotations({"later.png": Annotation({"two": mask}, ignore=Runs([[0, 2]]))})
    assert fixed.labelled == samples.ids
    assert fixed.truth["later.png"]["two"] == mask
    assert fixed.ignore("later.png") == fixed.truth.ignore("later.png") == Runs([[0, 2]])
    assert fixed.truth["b.png"]["one"] == samples.truth["b.png"]["one"]
    assert samples.labelled == ("b.png", "c.png", "a.png")
    assert samples.ignore("later.png") is None
    wrong = samples.with_annotations({"a.png": Annotation({"two": Runs([[3, 7]], (10, 10))})})
    with pytest.raises(ValueError, match=r"a\.png, class two: .*\(10, 10\)"):
        wrong.truth["a.png"]["two"]


def test_samples_go_to_worker_processes(root):
    samples = Samples.from_folder(root).with_annotations(
        {"later.png": Annotation({"one": Polygons([np.array(SQUARE)])})}
    )
    samples.truth["b.png"]["one"]
    again = pickle.loads(pickle.dumps(samples))
    assert again.fingerprint() == samples.fingerprint()
    assert again.truth["later.png"]["one"].area == 64
    truth = pickle.loads(pickle.dumps(samples.truth))
    assert truth["b.png"]["one"] == samples.truth["b.png"]["one"]


def test_truth_of_masks_that_are_there_already(root):
    samples = Samples.from_folder(root)
    mask = Runs([[3, 7]])
    given = MaskSet.from_dict({"later.png": {"two": mask}, "other.png": {"one": mask}}, name="truth.csv")
    known = samples.with_truth(given)
    assert known.labelled == ("later.png",)
    assert known.truth["later.png"]["two"] == mask
    assert known.truth["later.png"]["one"].area == 0
    assert samples.labelled == ("b.png", "c.png", "a.png")
    assert known.fingerprint() != samples.fingerprint()
    with pytest.raises(ValueError, match=r"truth\.csv: class 'tow' is none of the samples'; did you mean two"):
        samples.with_truth(MaskSet.from_dict({"a.png": {"tow": mask}}, name="truth.csv"))
    with pytest.raises(ValueError, match="none of its images is a sample"):
        samples.with_truth(MaskSet.from_dict({"q.png": {"two": mask}}))


def test_images_are_read_otherwise(root):
    samples = Samples.from_folder(root)
    rgb = samples.with_image_spec(ImageSpec("rgb"))
    assert (rgb.image_spec, samples.image_spec) == (ImageSpec("rgb"), ImageSpec())
    assert rgb.read_image("a.png").shape == (40, 30, 3)
    assert rgb.fingerprint() != samples.fingerprint()
    assert [pixels.shape for pixels in rgb.stored_pixels("a.png")] == [(40, 30, 1)]
