"""One array out of every kind of image: channels, depth, and pixels that are not finite."""

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.images import ImageSpec, convert, image_size, read_image

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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_leave_the_others_as_they_are(bad):
    pixels = np.linspace(-3, 9, 48, dtype=np.float32).reshape(6, 8)
    expected = convert(pixels, ImageSpec())
    pixels[2, 3] = bad
    image = convert(pixels, ImageSpec())
    assert np.array_equal(np.delete(image.ravel(), 19), np.delete(expected.ravel(), 19))
    assert image[2, 3, 0] == (255 if bad == np.inf else 0)
    assert (convert(np.full((2, 2), bad, np.float32), ImageSpec()) <= 255).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.float16, np.float64])
def test_every_depth_is_stretched_alike(dtype):
    pixels = np.arange(100).reshape(10, 10)
    image = convert(pixels.astype(dtype), ImageSpec(dtype="float32"))
    assert image.dtype == np.float32
    assert np.abs(image[..., 0] - pixels / 99 * 255).max() < 1e-3
    assert np.array_equal(convert(pixels.astype(dtype), ImageSpec()), np.rint(image).astype(np.uint8))


def test_a_value_range_is_of_all_images_and_clips():
    pixels = np.array([[-100, 0, 50, 100, 400]], np.int16)
    image = convert(pixels, ImageSpec(value_range=(0, 100), dtype="float32"))
    assert image[0, :, 0].tolist() == [0, 0, 127.5, 255, 255]
    eight = np.array([[0, 10]], np.uint8)
    assert convert(eight, ImageSpec(value_range=(0, 100)))[0, :, 0].tolist() == [0, 10]  # 8 bits are what they are


def test_channels_of_one_picture_share_a_stretch_and_other_bands_do_not():
    bands = np.stack([np.linspace(0, 1, 12), np.linspace(0, 100, 12)], axis=1).reshape(3, 4, 2).astype(np.float32)
    apart = convert(bands, ImageSpec(2))
    assert np.array_equal(apart[..., 0], apart[..., 1])
    picture = np.concatenate([bands, bands[..., :1]], axis=2)
    assert convert(picture, ImageSpec("rgb"))[..., 0].max() == 3  # 1 of 100, of 255
    ranges = ImageSpec(2, value_range=((0, 1), (0, 200)))
    assert convert(bands, ranges)[-1, -1].tolist() == [255, 128]


def test_rgb_and_numbers_of_channels():
    rgba = np.random.default_rng(0).integers(0, 255, (4, 5, 4), dtype=np.uint8)
    assert np.array_equal(convert(rgba, ImageSpec("rgb")), rgba[..., :3])
    assert np.array_equal(convert(rgba, ImageSpec(4)), rgba)
    assert np.array_equal(convert(GREY, ImageSpec("rgb")), np.repeat(GREY[..., None], 3, axis=2))
    with pytest.raises(ValueError, match=r"x\.png: expected 3 channels, got 4"):
        convert(rgba, ImageSpec(3), "x.png")
    with pytest.raises(ValueError, match="has 7 channels, which are neither grey nor RGB"):
        convert(np.zeros((4, 5, 7), np.uint8), ImageSpec("rgb"))
    with pytest.raises(ValueError, match=r"expected numbers of shape \(H, W\)"):
        convert(np.zeros((4, 5, 1, 1)), ImageSpec())
    assert convert(GREY > 127, ImageSpec("rgb")).max() == 255


def test_files_of_one_image_are_stacked(tmp_path):
    one, two = GREY, 255 - GREY
    deep = GREY.astype(np.uint16) * 257
    for name, pixels in (("a", one), ("b", two), ("c", deep), ("d", GREY[:5])):
        (tmp_path / f"{name}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    a, b, c, d = (tmp_path / f"{name}.png" for name in "abcd")
    image = read_image((a, b, c), ImageSpec(3))
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.stack([one, two, convert(deep, ImageSpec())[..., 0]], axis=2))
    assert np.array_equal(read_image((a, b, a), ImageSpec("rgb"))[..., 1], two)
    assert np.array_equal(read_image((a,)), read_image(a))
    with pytest.raises(ValueError, match=r"a\.png, .*b\.png: expected 1 channels, got 2"):
        read_image((a, b))
    with pytest.raises(ValueError, match="files of one size"):
        read_image((a, d), ImageSpec(2))


def test_the_array_given_stays_as_it_was():
    pixels = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    kept = pixels.copy()
    convert(pixels, ImageSpec(dtype="float32"))[:] = 7
    assert np.array_equal(pixels, kept)
    for spec in (ImageSpec(), ImageSpec(1)):
        image = convert(GREY, spec)
        image[:] = 7
        assert len(np.unique(GREY)) > 99


def test_the_size_of_an_image_of_over_179_megapixels_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    assert image_size(tmp_path / "a.png") == GREY.shape
    assert Image.MAX_IMAGE_PIXELS == 100
