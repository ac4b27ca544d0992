"""segkit rle convert, as a user types it."""

import json
import typing

from segkit.cli import RLEFormat, main
from segkit.rle.files import FILES


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
    words = ["rle", "convert", str(table), "-o", str(out), "--from", "kaggle-rows-1", "--columns", "id", "rle"]
    assert main(words) == 2
    assert "line 2, image a: 3 tokens" in capsys.readouterr().err
    assert main([*words, "--repair", "--size", "2", "4", "--to", "kaggle-columns-1"]) == 0
    assert "line 2, image a: dropped a last token" in capsys.readouterr().err
    assert out.read_text() == "id,rle\na,1 1 3 1\n"
    assert main([*words, "--size", "2", "4", "--sizes", "sizes.csv"]) == 2
    assert "either --size or --sizes" in capsys.readouterr().err


def test_counts_of_coco_are_mended_too(tmp_path, capsys):
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
    assert "annotation 7, image a.png, class x: took 2 pixels" in capsys.readouterr().err
    assert out.read_text() == "image_name,class,rle\na.png,x,2 1 4 2\n"  # down the columns 0 1, 1 1, 0 0


def test_it_knows_the_formats_of_files():
    assert typing.get_args(RLEFormat) == FILES
