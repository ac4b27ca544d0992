"""The formats of the field: TIFF of every kind, DICOM, WebP, GIF, palettes; stored pixels whatever a tag says."""

import sys

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from segkit.images import ImageSpec, image_size, orientation, read_image, read_labels, read_pixels

GREY = np.random.default_rng(1).integers(0, 256, (23, 31), dtype=np.uint8)
RGBA = np.random.default_rng(2).integers(0, 256, (23, 31, 4), dtype=np.uint8)
DEEP = np.random.default_rng(3).integers(0, 4096, (23, 31, 7)).astype(np.uint16)

TIFFS = {
    "grey": (GREY, {}),
    "white is zero": (255 - GREY, {"photometric": "miniswhite"}),
    "lzw": (GREY, {"compression": "lzw"}),
    "rgb": (RGBA[..., :3], {"photometric": "rgb"}),
    "rgb deflate": (RGBA[..., :3], {"photometric": "rgb", "compression": "zlib"}),
    "rgba": (RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "rgba lzw": (RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "lzw"}),
    "3 bands": (RGBA[..., :3], {"photometric": "minisblack", "planarconfig": "contig"}),
    "7 bands": (DEEP, {"photometric": "minisblack", "planarconfig": "contig"}),
    "16 bits": (DEEP[..., 0], {}),
    "16 bits rgb": (DEEP[..., :3], {"photometric": "rgb"}),
    "16 bits rgba": (DEEP[..., :4], {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "float": (DEEP[..., 0] / np.float32(7), {}),
    "float rgb": (DEEP[..., :3] / np.float32(7), {"photometric": "rgb"}),
    "double": (DEEP[..., 0] / 7, {}),
    "signed": (DEEP[..., 0].astype(np.int16) - 100, {}),
    "tiles": (np.tile(GREY, (4, 4)), {"tile": (32, 32)}),
    "tiles rgb lzw": (
        np.tile(RGBA[..., :3], (4, 4, 1)),
        {"tile": (32, 32), "photometric": "rgb", "compression": "lzw"},
    ),
    "big": (GREY, {"bigtiff": True}),
    "big end first": (DEEP[..., 0], {"byteorder": ">"}),
    "bits": (GREY > 127, {"photometric": "minisblack"}),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff_of_every_kind_gives_the_pixels_that_were_written(tmp_path, kind):
    pixels, how = TIFFS[kind]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **how)
    read = read_pixels(path)
    expected = 255 - pixels if kind == "white is zero" else pixels
    expected = expected[..., None] if expected.ndim == 2 else expected
    if kind == "bits":
        read = read != 0
    assert read.shape == expected.shape
    assert np.array_equal(read, expected)
    assert image_size(path) == pixels.shape[:2]


def test_planes_and_pages_become_channels_and_the_largest_level_is_read(tmp_path):
    tifffile.imwrite(
        tmp_path / "planes.tif", DEEP.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"
    )
    assert np.array_equal(read_pixels(tmp_path / "planes.tif"), DEEP)
    tifffile.imwrite(tmp_path / "pages.tif", DEEP.transpose(2, 0, 1)[:3], photometric="minisblack")
    assert np.array_equal(read_pixels(tmp_path / "pages.tif"), DEEP[..., :3])
    tifffile.imwrite(tmp_path / "ones.tif", RGBA[None, None, ..., :3], photometric="rgb")
    assert np.array_equal(read_pixels(tmp_path / "ones.tif"), RGBA[..., :3])
    large = np.tile(GREY, (8, 8))
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(large, subifds=1, tile=(64, 64))
        file.write(large[::2, ::2], subfiletype=1, tile=(64, 64))
    assert np.array_equal(read_pixels(tmp_path / "pyramid.tif")[..., 0], large)
    assert image_size(tmp_path / "pyramid.tif") == large.shape


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("tag", [1, 3, 6, 8])
def test_an_orientation_tag_turns_nothing_in_any_format(tmp_path, suffix, tag):
    exif = Image.Exif()
    exif[0x112] = tag
    smooth = cv2.GaussianBlur(GREY, (0, 0), 5)
    Image.fromarray(smooth).save(tmp_path / f"a{suffix}", exif=exif)
    path = tmp_path / f"a{suffix}"
    assert np.abs(read_image(path)[..., 0].astype(int) - smooth).max() <= 8
    assert image_size(path) == GREY.shape
    assert orientation(path) == tag


def test_webp_and_gif(tmp_path):
    Image.fromarray(RGBA[..., :3]).save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(read_pixels(tmp_path / "a.webp"), RGBA[..., :3])
    assert image_size(tmp_path / "a.webp") == (23, 31)
    Image.fromarray(GREY).save(tmp_path / "a.gif")
    assert np.array_equal(read_image(tmp_path / "a.gif")[..., 0], GREY)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif"])
def test_labels_of_a_palette_are_its_numbers(tmp_path, suffix):
    numbers = (GREY % 5).astype(np.uint8)
    image = Image.fromarray(numbers, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 200, 100, 50])
    image.save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_labels(tmp_path / f"a{suffix}"), numbers)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9], [200, 100, 50]])
    assert np.array_equal(read_labels(tmp_path / f"a{suffix}", colours=True), colours[numbers])


def test_labels_that_are_none(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGBA[..., :3])
    with pytest.raises(ValueError, match=r"a\.png: expected numbers, got colours"):
        read_labels(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 3), np.float32))
    with pytest.raises(ValueError, match="labels as integers, got float32"):
        read_labels(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.png"), DEEP[..., 0])
    assert np.array_equal(read_labels(tmp_path / "b.png"), DEEP[..., 0])


def write_dicom(path, pixels, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns, data.SamplesPerPixel = *pixels.shape, 1
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PhotometricInterpretation = "MONOCHROME2"
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path)


def test_dicom_values_are_rescaled_and_bright_is_dense(tmp_path):
    twelve = DEEP[..., 0]
    write_dicom(tmp_path / "a.dcm", twelve)
    assert np.array_equal(read_pixels(tmp_path / "a.dcm")[..., 0], twelve)
    assert image_size(tmp_path / "a.dcm") == twelve.shape
    assert np.abs(read_image(tmp_path / "a.dcm")[..., 0] - (twelve - twelve.min()) / np.ptp(twelve) * 255).max() <= 0.51
    write_dicom(tmp_path / "b.dcm", twelve, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_pixels(tmp_path / "b.dcm")[..., 0], 4095 - twelve.astype(int))
    write_dicom(tmp_path / "c.dcm", twelve, RescaleSlope=2, RescaleIntercept=-1024)
    assert np.array_equal(read_pixels(tmp_path / "c.dcm")[..., 0], twelve * 2.0 - 1024)
    window = ImageSpec(value_range=(-160, 240), dtype="float32")
    expected = np.clip((twelve * 2.0 - 1024 + 160) / 400 * 255, 0, 255)
    assert np.abs(read_image(tmp_path / "c.dcm", window)[..., 0] - expected).max() < 1e-3


def test_dicom_that_is_none(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no image")
    for function in (read_image, image_size):
        with pytest.raises(ValueError, match=r"a\.dcm cannot be read as a DICOM image"):
            function(tmp_path / "a.dcm")
    write_dicom(tmp_path / "b.dcm", np.zeros((4, 5), np.uint16), NumberOfFrames=2, Rows=2)
    with pytest.raises(ValueError, match=r"b\.dcm.*expected one frame, got 2"):
        read_image(tmp_path / "b.dcm")


@pytest.mark.parametrize(("module", "name"), [("pydicom", "a.dcm"), ("tifffile", "a.tif")])
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, module, name):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="minisblack", planarconfig="contig")
    write_dicom(tmp_path / "a.dcm", DEEP[..., 0])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf'{name}.*{module}: pip install "segkit\[formats\]"'):
        read_image(tmp_path / name, ImageSpec(7))
    assert pydicom.__name__ == "pydicom"


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".dcm"])
@pytest.mark.parametrize("content", [b"", b"II*\0", b"GIF89a", b"RIFF    WEBP", b"II*\0\xff\xff\xff\xff" + bytes(50)])
def test_broken_files_of_every_kind_are_named(tmp_path, suffix, content, capfd):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    for function in (read_image, image_size):
        with pytest.raises(ValueError, match=r"broken"):
            function(path)
    assert orientation(path) == 1
    capfd.readouterr()  # the decoders print on their own
