"""Phantom hands: their statistics are the measured ones, their files are the competition's."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest

from competitions.handbone import anatomy, phantom, radiograph, shapes
from competitions.handbone.facts import CLASSES, POSES, SIDE, statistics
from segkit.geometry import polygons
from segkit.rle import Runs, decode
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

SAMPLE = 60  # hands a pose; a mean area then wanders by 2 %, a centroid by at most 9 px


def boxed(rings):
    """(mask, top, left) of one class, in the box of its points."""
    points = np.concatenate(rings)
    left, top = points.min(axis=0)
    width, height = points.max(axis=0) - [left, top] + 1
    return polygons.rasterize([ring - [left, top] for ring in rings], (height, width)).astype(bool), top, left


def shared(first, second):
    """The number of pixels that two boxed masks have in common."""
    (a, top_a, left_a), (b, top_b, left_b) = first, second
    top, left = max(top_a, top_b), max(left_a, left_b)
    bottom = min(top_a + a.shape[0], top_b + b.shape[0])
    right = min(left_a + a.shape[1], left_b + b.shape[1])
    if top >= bottom or left >= right:
        return 0
    cut_a = a[top - top_a : bottom - top_a, left - left_a : right - left_a]
    return int((cut_a & b[top - top_b : bottom - top_b, left - left_b : right - left_b]).sum())


def measure(mask, top, left, side):
    """area, cx, cy, semi-major, semi-minor, angle of a right hand, as the measured statistics were taken."""
    y, x = np.nonzero(mask)
    x = x + left if side == "right" else SIDE - 1 - (x + left)
    spread = np.cov(x, y + top)
    minor, major = 2 * np.sqrt(np.linalg.eigvalsh(spread))
    angle = np.rad2deg(np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1]) / 2) % 180
    return len(x), x.mean(), (y + top).mean(), major, minor, angle


@pytest.fixture(scope="module")
def sample():
    """pose -> list of (hand, rings, boxed masks)."""
    drawn = {}
    for pose in POSES:
        drawn[pose] = []
        for number in range(SAMPLE):
            person = anatomy.invent_person(500 + number)
            hand = anatomy.pose_hand(person, side=("right", "left")[number % 2], pose=pose)
            rings = anatomy.rings(hand)
            drawn[pose].append((hand, rings, {name: boxed(rings[name]) for name in CLASSES}))
    return drawn


@pytest.fixture(scope="module")
def measured(sample):
    """pose -> class -> (SAMPLE, 6) of area, cx, cy, semi-major, semi-minor, angle."""
    return {
        pose: {name: np.array([measure(*masks[name], hand.side) for hand, _, masks in hands]) for name in CLASSES}
        for pose, hands in sample.items()
    }


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("name", CLASSES)
def test_bones_match_the_measured_ones(measured, pose, name):
    bone, ours = statistics().bones[pose][name], measured[pose][name]
    area, cx, cy, major, minor, _ = ours.mean(axis=0)
    assert abs(area / bone.area_mean - 1) < 0.15
    assert abs(cx - bone.cx) < 25
    assert abs(cy - bone.cy) < 25
    assert abs(major / bone.semi_major - 1) < 0.20
    assert abs(minor / bone.semi_minor - 1) < 0.20
    spread = ours.std(axis=0)
    assert 0.5 < (spread[0] / area) / (bone.area_sd / bone.area_mean) < 1.6
    assert 0.55 < spread[1] / bone.cx_sd < 1.6
    assert 0.55 < spread[2] / bone.cy_sd < 1.6
    if bone.semi_major > 1.5 * bone.semi_minor:
        doubled = np.exp(2j * np.deg2rad(ours[:, 5])).mean()  # 179 and 1 degree are neighbours
        turned = (np.rad2deg(np.angle(doubled)) / 2 - bone.angle_deg + 90) % 180 - 90
        assert abs(turned) < 7


def test_neighbours_overlap_as_measured_and_nobody_else_does(sample):
    totals = {}
    hands = [masks for pose in POSES for _, _, masks in sample[pose]]
    for masks in hands:
        for place, first in enumerate(CLASSES):
            for second in CLASSES[place + 1 :]:
                both = shared(masks[first], masks[second])
                either = masks[first][0].sum() + masks[second][0].sum() - both
                totals[first, second] = totals.get((first, second), 0.0) + both / either
    wrong = {
        pair: (round(total / len(hands), 3), statistics().pair_iou.get(pair, 0.0))
        for pair, total in totals.items()
        if abs(total / len(hands) - statistics().pair_iou.get(pair, 0.0)) > 0.08
    }
    assert not wrong
    assert set(statistics().pair_iou) <= set(totals)


def test_foreground_and_overlapping_pixels(sample):
    shares = []
    for pose in POSES:
        for _, _, masks in sample[pose][:20]:
            count = np.zeros((SIDE, SIDE), np.uint8)
            for mask, top, left in masks.values():
                count[top : top + mask.shape[0], left : left + mask.shape[1]] += mask
            shares.append([(count > 0).mean(), (count > 1).mean()])
    foreground, overlapping = np.mean(shares, axis=0)
    assert abs(foreground - statistics().foreground) < 0.012
    assert abs(overlapping - statistics().overlapping) < 0.0015


def test_the_forearm_reaches_the_last_row_and_nothing_else_does(sample):
    for pose in POSES:
        for _, rings, _ in sample[pose]:
            for name in CLASSES:
                assert (max(ring[:, 1].max() for ring in rings[name]) == SIDE - 1) == (name in anatomy.FOREARM)
    points = {name: np.mean([len(rings[name][0]) for _, rings, _ in sample["upright"]]) for name in anatomy.FOREARM}
    assert min(points.values()) > 1000


def test_rings_are_integer_points_inside_the_image_without_repeats(sample):
    for _, rings, _ in sample["tilted"]:
        for name in CLASSES:
            for ring in rings[name]:
                assert ring.dtype == np.int32
                assert ring.min() >= 0
                assert ring.max() < SIDE
                assert np.any(ring != np.roll(ring, 1, axis=0), axis=1).all()


def test_the_sesamoid_is_a_second_component_of_finger_3_in_92_of_100(sample):
    seen = []
    for pose in POSES:
        for hand, rings, masks in sample[pose]:
            pieces = cv2.connectedComponents(masks["finger-3"][0].astype(np.uint8))[0] - 1
            assert len(rings["finger-3"]) == 1 + (hand.sesamoid is not None)
            assert pieces == len(rings["finger-3"])
            seen.append(pieces == 2)
            assert all(len(rings[name]) == 1 for name in CLASSES if name != "finger-3")
    assert abs(np.mean(seen) - statistics().sesamoid) < 4 * np.sqrt(0.92 * 0.08 / len(seen))


def test_the_thumb_of_a_right_hand_is_on_the_image_left():
    person = anatomy.invent_person(7)
    right, left = (anatomy.pose_hand(person, side=side, pose="upright") for side in ("right", "left"))
    assert right.bones["finger-1"][:, 0].mean() < right.bones["finger-16"][:, 0].mean()
    assert left.bones["finger-1"][:, 0].mean() > left.bones["finger-16"][:, 0].mean()
    areas = [anatomy.moments(hand.bones["Capitate"])[0] for hand in (right, left)]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)  # one person's two hands are of one size


def test_a_hand_comes_back_the_same_and_leaves_the_mean_alone():
    before = {name: points.copy() for name, points in anatomy.mean_hand("tilted").items()}
    person = anatomy.invent_person(3)
    first, second = (anatomy.pose_hand(person, side="left", pose="tilted") for _ in range(2))
    for name in CLASSES:
        np.testing.assert_array_equal(first.bones[name], second.bones[name])
        np.testing.assert_array_equal(before[name], anatomy.mean_hand("tilted")[name])


def test_unknown_side_or_pose_is_an_error():
    with pytest.raises(ValueError, match="'up'"):
        anatomy.pose_hand(anatomy.invent_person(0), side="right", pose="up")


def test_moments_agree_with_the_pixels_inside():
    curve = shapes.outline("Scaphoid") * 3 + 300
    mask = np.zeros((600, 600), np.uint8)
    cv2.fillPoly(mask, [np.rint(curve * 256).astype(np.int32)], 1, shift=8)
    y, x = np.nonzero(mask)
    area, centre, spread = anatomy.moments(curve)
    assert area == pytest.approx(len(x), rel=0.02)
    np.testing.assert_allclose(centre, [x.mean(), y.mean()], atol=0.5)
    np.testing.assert_allclose(spread, np.cov(x, y), rtol=0.03)
    np.testing.assert_allclose(anatomy.moments(curve[::-1])[2], spread)  # whichever way round


def test_the_gentlest_map_takes_one_covariance_to_another_without_a_spin():
    rng = np.random.default_rng(0)
    source, target = (factor @ factor.T for factor in rng.normal(size=(2, 2, 2)))
    stretch = anatomy.gentlest(source, target)
    np.testing.assert_allclose(stretch @ source @ stretch.T, target, atol=1e-12)
    np.testing.assert_allclose(stretch, stretch.T, atol=1e-12)
    assert (np.linalg.eigvalsh(stretch) > 0).all()
    np.testing.assert_allclose(anatomy.gentlest(source, source), np.eye(2), atol=1e-12)


def test_statistics_are_those_that_were_handed_out():
    if "SEGKIT_DATA" not in os.environ:
        pytest.skip("SEGKIT_DATA is unset: no hand_statistics.json to compare with")
    raw = json.loads((Path(os.environ["SEGKIT_DATA"]) / "hand_statistics.json").read_text())
    assert tuple(raw["classes"]) == CLASSES
    for pose in POSES:
        for name in CLASSES:
            assert vars(statistics().bones[pose][name]) == raw["poses"][pose]["bones"][name]
    pairs = {f"{first}|{second}": iou for (first, second), iou in statistics().pair_iou.items()}
    assert pairs == raw["mean_iou_of_overlapping_pairs"]


# --- the picture


@pytest.mark.parametrize("side", ["right", "left"])
def test_bone_is_brighter_than_flesh_and_flesh_than_air(side):
    hand = anatomy.pose_hand(anatomy.invent_person(21), side=side, pose="upright")
    picture = radiograph.render(hand, size=1024)
    assert picture.dtype == np.uint8
    assert picture.shape == (1024, 1024)
    rings = anatomy.rings(hand, size=1024)
    bone = {name: polygons.rasterize(rings[name], picture.shape).astype(bool) for name in CLASSES}
    anywhere = np.any(list(bone.values()), axis=0)
    close = cv2.dilate(anywhere.astype(np.uint8), np.ones((15, 15))).astype(bool)
    flesh, air = close & ~cv2.dilate(anywhere.astype(np.uint8), np.ones((5, 5))).astype(bool), ~close
    assert np.median(picture[anywhere]) > np.median(picture[flesh]) + 25
    assert np.median(picture[flesh]) > np.median(picture[air]) + 25
    both = bone["Triquetrum"] & bone["Pisiform"]
    assert picture[both].mean() > picture[bone["Triquetrum"] & ~bone["Pisiform"]].mean() + 10  # bones add
    shaft = bone["finger-11"] & ~np.any([bone[name] for name in CLASSES if name != "finger-11"], axis=0)
    depth = cv2.distanceTransform(shaft.astype(np.uint8), cv2.DIST_L2, 5)
    middle = np.abs(np.arange(1024) - np.nonzero(shaft)[0].mean())[:, None] < 40
    assert picture[middle & (depth > 3) & (depth < 6)].mean() > picture[middle & (depth > 11)].mean() + 5  # cortex


def test_the_same_seed_draws_the_same_picture_and_another_does_not():
    hand = anatomy.pose_hand(anatomy.invent_person(5), side="right", pose="tilted")
    pictures = [radiograph.render(hand, size=257, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


# --- the files

SMALL = {"persons": 5, "test_persons": 7, "seed": 4, "size": 128}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return phantom.draw(tmp_path_factory.mktemp("phantom"), **SMALL, workers=1)


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*"))}


def test_layout_names_and_ids(drawn):
    train, test = (Samples.from_folder(drawn, split, CLASSES) for split in ("train", "test"))
    assert (len(train), len(test)) == (10, 14)
    assert train.labelled == train.ids
    assert test.labelled == ()
    groups = train.groups | test.groups
    assert set(groups.values()) == {f"ID{number:03d}" for number in range(1, 13)}
    assert not set(train.groups.values()) & set(test.groups.values())
    assert {image[-6:] for image in groups if "_" in image} == {"_R.png", "_L.png"}
    assert [group for image, group in groups.items() if "_" in image] == ["ID001", "ID001"]
    assert len(groups) == 24
    picture = cv2.imread(str(train[train.ids[0]].image), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (128, 128, 3)
    assert (picture == picture[..., :1]).all()


def test_the_earlier_image_of_a_person_is_the_right_hand(drawn):
    samples = Samples.from_folder(drawn, classes=CLASSES)
    for earlier, later in zip(samples.ids[::2], samples.ids[1::2]):
        assert samples.groups[earlier] == samples.groups[later]
        for image, side in ((earlier, 1), (later, -1)):
            regions = samples.regions(image)
            thumb, little = (regions[name].outlines[0][:, 0].mean() for name in ("finger-1", "finger-16"))
            assert side * (little - thumb) > 0


def test_json_has_the_traps(drawn):
    orders = set()
    samples = Samples.from_folder(drawn, classes=CLASSES)
    for sample in samples:
        label = json.loads(Path(samples.annotation_file(sample.id)).read_text())
        assert set(label) == {
            *("annotations", "attributes", "file_id", "filename", "parent_path", "last_modifier_id", "metadata"),
            "last_workers",
        }
        assert label["filename"] == f"{sample.image.stem}.jpg"
        assert label["metadata"] == {"height": 3060, "width": 3060}
        names = [annotation["label"] for annotation in label["annotations"]]
        assert set(names) == set(CLASSES)
        assert len(names) - 29 == names.count("finger-3") - 1 in (0, 1)
        orders.add(tuple(names))
        for annotation in label["annotations"]:
            assert set(annotation) == {"id", "type", "attributes", "points", "label"}
            assert annotation["type"] == "poly_seg"
            assert all(type(value) is int for point in annotation["points"] for value in point)
    assert len(orders) == 10


def test_without_traps_json_says_what_is(tmp_path):
    root = phantom.draw(tmp_path, persons=1, test_persons=0, seed=0, size=64, traps=False, workers=1)
    assert not (root / "test").exists()
    samples = Samples.from_folder(root, classes=CLASSES)
    image = samples.ids[0]
    label = json.loads(Path(samples.annotation_file(image)).read_text())
    assert label["filename"] == image
    assert label["metadata"] == {"height": 64, "width": 64}
    names = [annotation["label"] for annotation in label["annotations"]]
    assert names == sorted(names, key=CLASSES.index)


def test_truth_is_what_the_rings_fill(drawn):
    lines = [line.split(",") for line in (drawn / "test_truth.csv").read_text().splitlines()]
    test = Samples.from_folder(drawn, "test", CLASSES)
    assert lines[0] == ["image_name", "class", "rle"]
    assert [tuple(line[:2]) for line in lines[1:]] == [(image, name) for image in test.ids for name in CLASSES]
    truth = test.with_truth(SubmissionFormat().read(drawn / "test_truth.csv")).truth
    first = test.ids[0]
    seed = phantom._person_seed(SMALL["seed"], int(test.groups[first][2:]))
    pose = dict(line.split(",") for line in (drawn / "poses.csv").read_text().splitlines())[first]
    hand = anatomy.pose_hand(anatomy.invent_person(seed), side="right", pose=pose)
    for name, rings in anatomy.rings(hand, size=128).items():
        filled = polygons.rasterize(rings, (128, 128)).astype(bool)
        text = lines[1 + CLASSES.index(name)][2]
        np.testing.assert_array_equal(decode(text, (128, 128)), filled)
        assert truth[first][name] == Runs.from_mask(filled)


def test_tilted_shares_are_met_to_the_nearest_person(drawn):
    poses = dict(line.split(",") for line in (drawn / "poses.csv").read_text().splitlines()[1:])
    ids = {split: Samples.from_folder(drawn, split, CLASSES).ids for split in ("train", "test")}
    tilted = {split: sum(poses[image] == "tilted" for image in images) for split, images in ids.items()}
    assert tilted == {"train": 2 * round(0.10 * 5), "test": 2 * round(0.58 * 7)}


def test_every_worker_draws_the_same(drawn, tmp_path):
    again = phantom.draw(tmp_path, **SMALL, workers=2)
    ours, theirs = content(drawn), content(again)
    ours.pop("meta_data.xlsx"), theirs.pop("meta_data.xlsx")  # a zip file that carries the time
    assert ours == theirs


def test_drawn_once_kept_then_replaced_when_settings_change(tmp_path):
    settings = {"persons": 2, "test_persons": 1, "seed": 1, "size": 64, "workers": 1}
    root = phantom.draw(tmp_path / "new", **settings)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    phantom.draw(root, **settings)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == stamps
    first = set(content(root))
    (root / "poses.csv").unlink()
    phantom.draw(root, **settings)
    assert set(content(root)) == first
    phantom.draw(root, **(settings | {"seed": 2}))
    assert len(Samples.from_folder(root)) == 4
    assert set(content(root)) != first


def test_somebody_elses_data_is_never_touched(tmp_path):
    theirs = tmp_path / "train" / "DCM" / "ID001" / "image1.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"x")
    with pytest.raises(ValueError, match="not drawn here"):
        phantom.draw(tmp_path, persons=1, test_persons=0, seed=0, size=64)
    assert theirs.read_bytes() == b"x"


@pytest.mark.parametrize(
    "wrong", [{"persons": 0}, {"test_persons": -1}, {"size": 32}, {"size": 4096}, {"workers": 0}, {"tilted_test": 58}]
)
def test_settings_that_make_no_sense(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"wanted|shares"):
        phantom.draw(tmp_path, **({"persons": 1, "test_persons": 0, "seed": 0} | wrong))
    assert not any(tmp_path.iterdir())


def test_metadata_sheet(drawn):
    book = openpyxl.load_workbook(drawn / "meta_data.xlsx")
    assert book.sheetnames == ["ID"]
    rows = list(book["ID"].iter_rows(values_only=True))
    sheet = pd.read_excel(drawn / "meta_data.xlsx")
    assert sheet.columns.tolist() == ["ID", "나이", "성별", "체중(몸무게)", "키(신장)", "Unnamed: 5"]
    assert [row[0] for row in rows[1:]] == list(range(1, 13))
    assert all(19 <= row[1] <= 78 and 40 <= row[3] <= 110 and 145 <= row[4] <= 195 for row in rows[1:])


def test_sexes_are_typed_as_dirtily_as_in_the_real_sheet(tmp_path):
    jobs = phantom._plan(tmp_path, 150, 0, (0.1, 0.58), 3, 64, True)
    phantom._write_metadata(tmp_path / "sheet.xlsx", jobs, 3)
    rows = list(openpyxl.load_workbook(tmp_path / "sheet.xlsx")["ID"].iter_rows(min_row=2, values_only=True))
    typed = [row[2] for row in rows]
    assert set(typed) == {"남", "여", " 남", " 여", "_x0008_남", "_x0008_여"}
    tall = {sex: np.mean([row[4] for row in rows if sex in row[2]]) for sex in "남여"}
    assert tall["남"] > tall["여"] + 8
