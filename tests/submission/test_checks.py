"""Validation of large files: time grows with the rows, problems are counted, texts are not held."""

import time
import tracemalloc

import pytest

from segkit import submission
from segkit.submission import SubmissionFormat


def many(path, rows):
    """Every row an image and a class of its own: rows squared are missing."""
    path.write_text("image_name,class,rle\n" + "".join(f"i{n},c{n},1 2\n" for n in range(rows)))
    return path


def test_classes_that_every_image_lacks_are_counted_not_listed(tmp_path):
    """FAULTS B: they were listed, and 20,000 such rows took over 4 GB."""
    path = many(tmp_path / "s.csv", 3_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"{3_000**2 - 3_000} problems\nimage i0, class c1: row is missing") as error:
        submission.validate(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).endswith(f"... and {3_000**2 - 3_020} more")
    assert peak < 4e6


def test_time_grows_with_the_rows(tmp_path):
    def seconds(rows):
        path = many(tmp_path / "s.csv", rows)
        start = time.process_time()
        with pytest.raises(ValueError, match="problems"):
            submission.validate(path, like=path, sizes=(1, 1))
        return time.process_time() - start

    seconds(100)
    assert seconds(4_000) < 10 * max(seconds(1_000), 0.02)  # four times the rows; squared it would be sixteen


@pytest.mark.parametrize("like", [False, True])
def test_every_problem_is_counted(tmp_path, like):
    path = many(tmp_path / "s.csv", 100)
    sample = tmp_path / "sample.csv"
    sample.write_text("image_name,class,rle\n" + "".join(f"i{n},c{n},\n" for n in range(50, 200)))
    count = 150 if like else 9900
    with pytest.raises(ValueError, match=f"{count} problems") as error:
        submission.validate(path, like=sample if like else None)
    assert len(str(error.value).splitlines()) == 22


def test_ids_and_classes_each_alone(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("image_name,class,rle\na,x,\na,y,\nb,x,\nb,y,\n")
    assert submission.validate(path, ids=["a", "b"]) == submission.validate(path, classes=["x", "y"])
    with pytest.raises(ValueError, match="image c, class x: row is missing"):
        submission.validate(path, ids=["a", "b", "c"])
    with pytest.raises(ValueError, match="image b, class z: row is missing"):
        submission.validate(path, classes=["x", "y", "z"])
    with pytest.raises(ValueError, match="image a, class y: expected no such row"):
        submission.validate(path, classes=["x"])


def test_names_in_another_unicode_form_are_said(tmp_path):
    for name, image in (("s.csv", "caf\u00e9"), ("sample.csv", "cafe\u0301")):
        (tmp_path / name).write_text(f"id,rle\n{image},\n")
    with pytest.raises(ValueError, match="the endings or the Unicode forms differ"):
        SubmissionFormat(("id", "rle")).validate(tmp_path / "s.csv", like=tmp_path / "sample.csv")


def test_a_header_alone_as_sample_says_the_columns_only(tmp_path):
    """UW-Madison's sample has no row: its test images are hidden."""
    form = SubmissionFormat(("id", "class", "predicted"))
    (tmp_path / "sample.csv").write_text("id,class,predicted\n")
    (tmp_path / "s.csv").write_text("id,class,predicted\na,x,1 2\n")
    assert form.validate(tmp_path / "s.csv", like=tmp_path / "sample.csv")["rows"] == 1
    (tmp_path / "s.csv").write_text("id,class,rle,predicted\na,x,,1 2\n")
    with pytest.raises(ValueError, match=r"expected the columns \['id', 'class', 'predicted'\], got"):
        form.validate(tmp_path / "s.csv", like=tmp_path / "sample.csv")
