"""Packed files are read at any place, by threads, and whole or not at all."""

import gzip
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from segkit.rle._packed import Source, writing
from segkit.rle.tables import Table

ROWS = [f"image{n},{n} 1" for n in range(500)]


@pytest.fixture(params=["t.csv", "t.csv.gz", "t.zip"])
def path(request, tmp_path):
    with writing(tmp_path / request.param) as handle:
        handle.write("id,rle\n" + "\n".join(ROWS) + "\n")
    return tmp_path / request.param


def test_rows_in_order_and_again_at_their_places_by_threads(path):
    table = Table(path, ("rle",))
    rows = list(table.rows())
    assert [",".join(row.cells) for row in rows] == ROWS
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(table.cells, [row.place for row in reversed(rows)]))
    assert again == [row.cells for row in reversed(rows)]


def test_a_file_that_was_replaced_since(path):
    table = Table(path, ("rle",))
    place = next(iter(table.rows())).place
    with writing(path) as handle:
        handle.write("id,rle\nother,1 1\n")
    with pytest.raises(ValueError, match="has changed since it was first looked at"):
        table.cells(place)


def test_what_cannot_be_written_leaves_nothing(path):
    before = path.read_bytes()

    def fails():
        with writing(path) as handle:
            handle.write("half")
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        fails()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_what_others_packed(tmp_path):
    text = "id,rle\na,1 1\n"
    with gzip.open(tmp_path / "a.csv.gz", "wt") as handle:
        handle.write(text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("deep/er/submission.CSV", text)
    for name in ("a.csv.gz", "a.zip"):
        assert [row.cells for row in Table(tmp_path / name, ("rle",)).rows()] == [["a", "1 1"]]
    whole = (tmp_path / "a.csv.gz").read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"a\.csv\.gz cannot be unpacked"):
        list(Table(tmp_path / "a.csv.gz", ("rle",)).rows())
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.md", "no table")
    with pytest.raises(ValueError, match=r"b\.zip: expected one CSV in it, got readme\.md"):
        Table(tmp_path / "b.zip")


def test_an_encrypted_archive_is_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "id,rle\n")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of the central directory
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.zip is encrypted; unpack it first"), Source(tmp_path / "a.zip").open():
        pass
