"""One grey uint8 image out of every kind of file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.images import image_size, read_image

GREY = np.random.default_rng(1).integers(0, 256, (23, 31), dtype=np.uint8)


@pytest.mark.parametrize(
    ("suffix", "channels"),
    [
        (".png", 1),
        (".png", 3),
        (".png", 4),
        (".PNG", 3),
        (".tif", 1),
        (".tif", 3),
        (".tif", 4),
        (".bmp", 1),
        (".bmp", 3),
    ],
)
def test_grey_three_equal_channels_and_alpha_are_one_image(tmp_path, suffix, channels):
    pixels = GREY if channels == 1 else np.repeat(GREY[..., None], channels, axis=2)
    if channels == 4:
        pixels[..., 3] = np.random.default_rng(2).integers(0, 256, GREY.shape)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix.lower(), pixels)[1].tobytes())
    image = read_image(path)[..., 0]
    assert image.dtype == np.uint8
    assert np.array_equal(image, GREY)
    assert image_size(path) == GREY.shape


def test_grey_with_alpha(tmp_path):
    Image.fromarray(np.stack([GREY, 255 - GREY], axis=2), "LA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png")[..., 0], GREY)


def test_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png")[..., 0], np.where(GREY > 127, 255, 0))


def test_a_jpeg_is_near_what_it_was(tmp_path):
    smooth = cv2.GaussianBlur(GREY, (0, 0), 4)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert np.abs(read_image(tmp_path / "a.jpg")[..., 0].astype(int) - smooth).max() <= 6


def test_colours_become_grey_by_their_brightness(tmp_path):
    pure = np.zeros((1, 3, 3), np.uint8)
    pure[0, 0, 0] = pure[0, 1, 1] = pure[0, 2, 2] = 255  # red, green, blue
    Image.fromarray(pure).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == [[76, 150, 29]]
    Image.fromarray(np.dstack([pure, np.full((1, 3), 77, np.uint8)]), "RGBA").save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png")[..., 0].tolist() == [[76, 150, 29]]


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_stretched_over_the_range_they_use(tmp_path, channels):
    twelve = np.linspace(0, 4095, 20 * 20).reshape(20, 20).astype(np.uint16)
    pixels = twelve if channels == 1 else np.repeat(twelve[..., None], 3, axis=2)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    image = read_image(tmp_path / "a.png")[..., 0]
    assert image.dtype == np.uint8
    assert np.abs(image - twelve / 4095 * 255).max() <= 0.51
    flat = np.full((4, 4), 3000, np.uint16)
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", flat)[1].tobytes())
    assert (read_image(tmp_path / "b.png") == 0).all()


def test_size_is_that_of_the_pixels_not_of_the_exif_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape[:2] == image_size(tmp_path / "a.jpg") == GREY.shape


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_broken_file_is_named(tmp_path, content, capfd):
    path = tmp_path / "broken.png"
    if content is None:
        content = cv2.imencode(".png", GREY)[1].tobytes()[:300]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png"):
        read_image(path)
    capfd.readouterr()  # the decoders print on their own
    if not content.startswith(b"\x89PNG"):
        with pytest.raises(ValueError, match=r"broken\.png"):
            image_size(path)


def test_a_missing_file_is_named(tmp_path):
    for function in (read_image, image_size):
        with pytest.raises(ValueError, match=r"none\.png"):
            function(tmp_path / "none.png")


def test_a_path_with_letters_of_another_script(tmp_path):
    path = tmp_path / "손뼈 é.png"
    path.write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    assert np.array_equal(read_image(path)[..., 0], GREY)
    assert image_size(path) == GREY.shape
