import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dbnet import images
from dbnet.errors import UserError
from dbnet.images import (
    decode,
    find_images,
    from_array,
    from_pillow,
    probe,
    read_displayed,
    read_image,
    stretch,
    write_image,
)

BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)  # RGB

# Displayed pixels: four quadrants, 48 wide and 32 high.
UPRIGHT = np.repeat(np.repeat(np.uint8([[BLACK, RED], [WHITE, BLUE]]), 16, axis=0), 24, axis=1)

# EXIF 2.3, tag 274, says where the first row and the first column of the file are displayed.
STORED = {
    1: UPRIGHT,  # top, left
    2: UPRIGHT[:, ::-1],  # top, right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: UPRIGHT.transpose(1, 0, 2),  # left, top
    6: UPRIGHT[:, ::-1].transpose(1, 0, 2),  # right, top
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: UPRIGHT[::-1].transpose(1, 0, 2),  # left, bottom
}


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(orientation: int, kind: str, **options) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    return encode(image, kind, exif=exif, **options)


LOSSLESS = [
    pytest.param("PNG", {}, id="PNG"),
    pytest.param("TIFF", {}, id="TIFF"),
    pytest.param("TIFF", dict(compression="tiff_lzw"), id="LZW"),
    pytest.param("WEBP", dict(lossless=True), id="WebP"),
]


@pytest.mark.parametrize("orientation", STORED)
def test_orientation_is_that_of_a_viewer(orientation):
    pixels = decode(with_orientation(orientation, "JPEG", quality=100, subsampling=0))
    assert pixels.shape == (32, 48, 3)
    assert pixels.flags.c_contiguous
    assert np.abs(pixels[..., ::-1].astype(int) - UPRIGHT).max() <= 2


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_every_format_is_turned(kind, options):
    pixels = decode(with_orientation(7, kind, **options))  # mirrored, and its sides swapped
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels[..., ::-1], UPRIGHT)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P"])
def test_every_mode_is_turned(mode):
    exif = Image.Exif()
    exif[274] = 6
    image = Image.fromarray(np.uint8([[0, 64], [128, 255]])).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.uint16([[0, 0x4000], [0x8000, 0xFFFF]]))
    pixels = decode(encode(image, "PNG", exif=exif))
    assert pixels[..., 0].tolist() == [[128, 0], [255, 64]]  # a quarter to the right


@pytest.mark.parametrize("orientation", STORED)
def test_training_takes_pixels_as_stored(tmp_path, orientation):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_orientation(orientation, "JPEG", quality=100, subsampling=0))
    stored = STORED[orientation]
    assert np.abs(read_image(path)[..., ::-1].astype(int) - stored).max() <= 2
    assert probe(path) == (stored.shape[:2], orientation, None)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_exif_counts_as_none(exif):
    data = encode(Image.fromarray(UPRIGHT), "JPEG", exif=exif)
    assert decode(data).shape == (32, 48, 3)


def test_orientation_beyond_8_counts_as_1():
    exif = Image.Exif()
    exif[274] = 9
    pixels = decode(encode(Image.fromarray(UPRIGHT), "PNG", exif=exif))
    np.testing.assert_array_equal(pixels[..., ::-1], UPRIGHT)


def row(mode: str, *values) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def palette(*colors) -> Image.Image:
    image = row("P", *range(len(colors)))
    image.putpalette([channel for color in colors for channel in color])
    return image


def grey(*values) -> list:
    return [(value, value, value) for value in values]


SIXTEEN = np.array([[0, 0x00FF, 0x8000, 0xFFFF]], np.uint16)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(encode(row("L", 0, 77, 255), "PNG"), grey(0, 77, 255), id="grey"),
        pytest.param(encode(row("1", 0, 255), "PNG"), grey(0, 255), id="1 bit"),
        pytest.param(
            encode(row("1", 0, 255), "TIFF", compression="group4"), grey(0, 255), id="fax"
        ),
        pytest.param(encode(row("RGB", RED, BLUE), "BMP"), [RED, BLUE], id="BMP"),
        pytest.param(encode(row("RGB", RED), "PNG"), [RED], id="1x1"),
        pytest.param(encode(palette(RED, BLUE), "PNG"), [RED, BLUE], id="palette"),
        # White shows through: 128 of 255 is opaque, and 255 * (1 - 128 / 255) = 127.
        pytest.param(
            encode(row("RGBA", (0, 0, 0, 0), (0, 0, 0, 128), (*RED, 255)), "PNG"),
            [WHITE, (127, 127, 127), RED],
            id="RGBA",
        ),
        pytest.param(
            encode(row("LA", (0, 0), (0, 128), (9, 255)), "PNG"), grey(255, 127, 9), id="grey+alpha"
        ),
        pytest.param(
            encode(row("RGBA", (0, 0, 0, 0), (*RED, 255)), "WEBP", lossless=True),
            [WHITE, RED],
            id="WebP",
        ),
        pytest.param(
            encode(palette(RED, BLUE), "PNG", transparency=1), [RED, WHITE], id="palette+colour key"
        ),
        pytest.param(
            encode(palette(RED, BLUE), "PNG", transparency=b"\xff\x00"),
            [RED, WHITE],
            id="palette+alpha",
        ),
        pytest.param(
            encode(row("RGB", RED, BLUE), "PNG", transparency=BLUE), [RED, WHITE], id="colour key"
        ),
        pytest.param(encode(palette(RED, BLUE), "GIF", transparency=1), [RED, WHITE], id="GIF"),
        pytest.param(encode(Image.fromarray(SIXTEEN), "PNG"), grey(0, 0, 128, 255), id="16 bit"),
        pytest.param(
            encode(Image.fromarray(SIXTEEN), "TIFF"), grey(0, 0, 128, 255), id="16-bit TIFF"
        ),
        pytest.param(
            b"P5 4 1 65535\n" + SIXTEEN.astype(">u2").tobytes(),
            grey(0, 0, 128, 255),
            id="16-bit PGM",
        ),
        pytest.param(
            cv2.imencode(".png", np.dstack([SIXTEEN, SIXTEEN * 0, SIXTEEN]))[1].tobytes(),
            [(0, 0, 0), (0, 0, 0), (128, 0, 128), (255, 0, 255)],
            id="48 bit",
        ),
        # 32 bits have no range of their own: the least value is black, the greatest white.
        pytest.param(
            encode(row("I", -100, -60, 100), "TIFF"), grey(0, 51, 255), id="32-bit integers"
        ),
        pytest.param(
            encode(row("F", 0.5, float("nan"), 1.5), "TIFF"), grey(0, 0, 255), id="floats"
        ),
    ],
)
def test_modes(data, expected):
    pixels = decode(data)
    assert pixels.dtype == np.uint8
    assert pixels[0, :, ::-1].tolist() == [list(color) for color in expected]


LIGHT, DARK = (240, 250, 255), (60, 0, 9)


@pytest.mark.parametrize(("ink", "ground"), [(LIGHT, BLACK), (DARK, WHITE)])
@pytest.mark.parametrize("below", [BLACK, WHITE])  # the colour that full transparency hides
def test_transparency_gets_a_ground_that_contrasts(ink, ground, below):
    letters = row("RGBA", *[(*below, 0)] * 9, (*ink, 255))
    for kind, options in (("PNG", {}), ("WEBP", dict(lossless=True, exact=True))):
        pixels = decode(encode(letters, kind, **options))
        assert pixels[0, [0, 9], ::-1].tolist() == [list(ground), list(ink)]


def test_an_image_without_an_opaque_pixel_has_a_ground_too():
    assert decode(encode(row("RGBA", (9, 9, 9, 0)), "PNG")).tolist() == [[[255] * 3]]
    faint = decode(encode(row("RGBA", (0, 0, 0, 0), (*WHITE, 51)), "PNG"))
    assert faint[0, :, 0].tolist() == [0, 51]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(row("RGBA", (0, 0, 0, 0), (*WHITE, 255)), "PNG"), id="RGBA"),
        pytest.param(encode(row("LA", (0, 0), (255, 255)), "PNG"), id="grey+alpha"),
        pytest.param(encode(palette(WHITE, BLACK), "PNG", transparency=1), id="palette"),
        pytest.param(encode(palette(WHITE, RED), "GIF", transparency=1), id="GIF"),
        pytest.param(encode(row("RGB", WHITE, RED), "PNG", transparency=RED), id="colour key"),
        pytest.param(encode(Image.fromarray(SIXTEEN), "TIFF"), id="16 bit"),
        pytest.param(encode(row("F", 0.5, -1.0), "TIFF"), id="floats"),
        pytest.param(encode(Image.new("CMYK", (8, 8), (9, 99, 200, 30)), "JPEG"), id="CMYK"),
    ],
)
def test_a_test_sees_what_inference_sees(tmp_path, data):
    (tmp_path / "image").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "image"), decode(data))


def test_arrays_of_every_kind():
    grey_levels = np.uint8([[0, 77, 255]])
    bgr = np.repeat(grey_levels[..., None], 3, axis=2)
    assert from_array(bgr) is bgr
    for array in (grey_levels, grey_levels[..., None], bgr.astype(np.uint16) << 8, bgr[::-1]):
        np.testing.assert_array_equal(from_array(array), bgr)
    big_endian = (grey_levels.astype(np.uint16) << 8).astype(">u2")
    np.testing.assert_array_equal(from_array(big_endian), bgr)
    white_letters = np.uint8([[[0, 0, 0, 0], [255, 255, 255, 255]]])
    assert from_array(white_letters)[0, :, 0].tolist() == [0, 255]
    blue = np.uint8([[[255, 0, 0, 255]]])
    assert from_array(blue).tolist() == [[[255, 0, 0]]]


def test_an_image_of_pillow_is_turned_and_stays_as_it_is():
    for kind in ("PNG", "TIFF"):
        image = Image.open(io.BytesIO(with_orientation(6, kind)))
        size = image.size
        np.testing.assert_array_equal(from_pillow(image)[..., ::-1], UPRIGHT)
        assert image.size == size
    sixteen = Image.open(io.BytesIO(encode(Image.fromarray(SIXTEEN), "PNG")))
    assert from_pillow(sixteen)[0, :, 0].tolist() == [0, 0, 128, 255]
    cut = Image.open(io.BytesIO(encode(Image.fromarray(UPRIGHT), "JPEG")[:-50]))
    with pytest.raises(UserError, match="truncated"):
        from_pillow(cut)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE, WHITE)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data)[4, 4].tolist() == pytest.approx(RED[::-1], abs=2)


def test_cmyk_jpeg():
    # Full magenta and yellow ink is red; JPEGs of Adobe store ink inverted, as Pillow does here.
    data = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert decode(data)[8, 8].tolist() == pytest.approx([0, 0, 255], abs=3)


def test_unusual_values_stretch_without_warnings():
    assert stretch(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
    assert stretch(np.full((1, 2), np.nan)).tolist() == [[0, 0]]
    assert stretch(np.array([[-np.inf, 0, 10, np.inf]])).tolist() == [[0, 0, 255, 0]]


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_the_pixels_that_tests_and_pillow_see(tmp_path, noise, subsampling, progressive):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(read_displayed(path), read_image(str(path)))
    np.testing.assert_array_equal(read_displayed(path)[..., ::-1], Image.open(path))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(noise):
    data = encode(Image.fromarray(noise), "JPEG")
    np.testing.assert_array_equal(decode(data + b"trailer"), decode(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused_by_name(tmp_path, noise, kind, kept):
    data = encode(Image.fromarray(noise), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=r"^image .*cut\.img: (damaged|not an image)") as caught:
        read_displayed(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_refused_where_opencv_fills_it_up(noise, monkeypatch):
    monkeypatch.setattr(images.cv2, "imdecode", lambda *args: noise)
    data = encode(Image.fromarray(noise), "JPEG")
    assert decode(data) is noise
    with pytest.raises(UserError, match="truncated"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "not an image"),
        (b"Hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS is a program"),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^image .*x\.png: {message}"):
        read_displayed(str(path))


def test_odd_paths(tmp_path):
    path = tmp_path / "Straße 東京 [1].png"
    path.write_bytes(encode(Image.fromarray(UPRIGHT), "PNG"))
    assert read_displayed(path).shape == (32, 48, 3)
    with pytest.raises(UserError, match="Is a directory"):
        read_displayed(tmp_path)
    with pytest.raises(UserError, match="null"):
        read_displayed("a\0b.png")


@pytest.mark.parametrize("pillows_limit", [None, Image.MAX_IMAGE_PIXELS])
def test_too_many_pixels_are_refused_before_decoding(monkeypatch, pillows_limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
    with pytest.raises(UserError, match="damaged"):  # allowed, and there are no pixels
        decode(b"P5 10 17895697 255\n")
    with pytest.raises(UserError, match="more than 178956970 pixels"):
        decode(b"P5 10 17895698 255\n")


def test_large_images_come_without_a_warning(recwarn, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from there on
    assert decode(encode(Image.new("L", (1, 1500)), "PNG")).shape == (1500, 1, 3)
    assert not recwarn


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from there")
def test_memory_for_a_large_jpeg(tmp_path):
    path = tmp_path / "large.jpg"
    cv2.imwrite(str(path), np.full((6000, 6000, 3), 90, np.uint8))
    program = (
        "import re, sys; from dbnet.images import read_displayed\n"
        "status = '/proc/self/status'\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open(status).read())[1])\n"
        "before = peak(); read_displayed(sys.argv[1]); print(1024 * (peak() - before))"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 3 <= int(done.stdout) / 6000**2 < 6.5  # bytes per pixel


def test_folders_are_listed_in_natural_order(tmp_path, monkeypatch):
    for name in ("img_10.jpg", "img_2.JPG", "img_1.png", ".hidden.jpg", "notes.txt", "sub/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert find_images(["."]) == ["./img_1.png", "./img_2.JPG", "./img_10.jpg"]
    assert find_images(["img_*.*"]) == ["img_1.png", "img_2.JPG", "img_10.jpg"]
    assert find_images(["**/*.jpg"]) == ["img_10.jpg", "sub/a.jpg"]
    assert find_images([tmp_path / "sub", "notes.txt"]) == [f"{tmp_path}/sub/a.jpg", "notes.txt"]
    assert find_images(["none_*.jpg", "none.jpg"]) == ["none_*.jpg", "none.jpg"]


def test_brackets_in_the_name_of_a_file_are_no_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a[1].jpg").touch()
    (tmp_path / "a1.jpg").touch()
    assert find_images(["a[1].jpg"]) == ["a[1].jpg"]


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"folder .*: no images in it \(\.jpg \.jpeg"):
        find_images([tmp_path])


def test_the_formats_of_folders_can_be_read():
    Image.init()
    known = {suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    assert set(images.SUFFIXES) - {".avif"} <= known


def test_writing_to_any_name_and_where_it_is_impossible(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    write_image(tmp_path / "ü" / "écriteau_看板.jpg", image)
    assert read_image(str(tmp_path / "ü" / "écriteau_看板.jpg")).shape == (4, 4, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/a\.jpg: "):
        write_image(tmp_path / "file" / "a.jpg", image)
