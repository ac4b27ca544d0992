"""segkit rle convert, as a user types it."""

import json

import cv2
import numpy as np

from segkit.cli import main
from segkit.rle import encode


def test_there_and_back(tmp_path, capsys):
    table, sizes, data, out = (tmp_path / name for name in ("in.csv", "sizes.csv", "data.json", "out.csv"))
    table.write_text("image_name,class,rle\na,x,2 1 4 2\na,y,\nb,x,0 4\nb,y,3 1\n")  # columns, from 0
    sizes.write_text("id,height,width\na,2,3\nb,2,2\n")
    words = ["rle", "convert", str(table), "-o", str(data), "--from", "kaggle-columns-0", "--to", "coco"]
    assert main([*words, "--sizes", str(sizes)]) == 0
    assert main(["rle", "convert", str(data), "-o", str(out), "--from", "coco"]) == 0
    assert capsys.readouterr().out.split() == [str(data), str(out)]
    assert out.read_text() == "image_name,class,rle\na,x,2 2 6 1\na,y,\nb,x,1 4\nb,y,4 1\n"


def test_repair_is_told_and_tells(tmp_path, capsys):
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("id,rle\na,1 2 7\n")
    words = ["rle", "convert", str(table), "-o", str(out), "--from", "columns=id,rle"]
    assert main(words) == 2
    assert "line 2, image a: 3 tokens" in capsys.readouterr().err
    assert main([*words, "--repair", "--size", "2", "4", "--to", "kaggle-columns-1"]) == 0
    assert "line 2, image a: the RLE text was repaired: dropped a last token" in capsys.readouterr().err
    assert out.read_text() == "id,rle\na,1 1 3 1\n"
    assert main([*words, "--size", "2", "4", "--sizes", "sizes.csv"]) == 2
    assert "expected either --size or --sizes" in capsys.readouterr().err


def test_counts_of_coco_are_repaired_too(tmp_path, capsys):
    data, out = tmp_path / "data.json", tmp_path / "out.csv"
    segmentation = {"size": [2, 3], "counts": [1, 3]}
    found = {
        "images": [{"id": 5, "file_name": "a.png", "height": 2, "width": 3}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"id": 7, "image_id": 5, "category_id": 1, "segmentation": segmentation}],
    }
    data.write_text(json.dumps(found))
    words = ["rle", "convert", str(data), "-o", str(out), "--from", "coco"]
    assert main(words) == 2
    assert "annotation 7, image a.png, class x: COCO counts add up to 4" in capsys.readouterr().err
    assert main([*words, "--repair"]) == 0
    assert "annotation 7, image a.png, class x: the COCO counts were repaired: took 2 pixels" in capsys.readouterr().err
    assert out.read_text() == "image_name,class,rle\na.png,x,2 1 4 2\n"  # down the columns 0 1, 1 1, 0 0


def test_another_competitions_csv_comes_out_as_ours(tmp_path, capsys):
    (tmp_path / "images" / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("a.png", ".ipynb_checkpoints/a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((12, 16), np.uint8))
    table, out = tmp_path / "theirs.csv", tmp_path / "ours.csv"
    table.write_text("ImageId,Label,EncodedPixels,Usage\na,x,0 1 12 1,p\nb,x,-1,p\na,y,NaN,p\nb,y,,p\n")
    source = "columns=ImageId,Label,EncodedPixels order=F start=0 empty=-1"
    words = ["rle", "convert", str(table), "-o", str(out), "--from", source, "--to", "default"]
    assert main([*words, "--images", str(tmp_path / "images")]) == 0
    assert out.read_text().splitlines() == ["image_name,class,rle", "a.png,x,1 2", "b.png,x,", "a.png,y,", "b.png,y,"]


def test_relative_text_is_not_taken_for_another(tmp_path, capsys):
    """FAULTS A15: 15,294 px became 160, with exit code 0."""
    yy, xx = np.mgrid[:256, :256]
    mask = (yy - 120) ** 2 + (xx - 100) ** 2 < 70**2
    table, out = tmp_path / "train-rle.csv", tmp_path / "out.csv"
    table.write_text(f"ImageId,EncodedPixels\n1.2.3,{encode(mask, order='F', start=0, relative=True)}\n1.2.4,-1\n")
    words = ["rle", "convert", str(table), "-o", str(out), "--size", "256", "256", "--to", "default"]
    settings = "columns=ImageId,EncodedPixels order=F start=0 empty=-1"
    for repair in ([], ["--repair"]):
        assert main([*words, "--from", settings, *repair]) == 2
        assert "say relative=True" in capsys.readouterr().err
    assert main([*words, "--from", "siim"]) == 0
    assert out.read_text() == f"image_name,class,rle\n1.2.3,mask,{encode(mask)}\n1.2.4,mask,\n"
