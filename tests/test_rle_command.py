"""segkit rle convert, as a user types it."""

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


def test_it_knows_the_formats_of_files():
    assert typing.get_args(RLEFormat) == FILES
