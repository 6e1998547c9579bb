import cv2
import numpy as np
import pytest

from dbnet.visualization.crops import crop_text, long_sides


def ramp(height=200, width=300):
    """An image whose blue is the column and whose green is the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns % 256, rows, np.zeros_like(rows)]).astype(np.uint8)


@pytest.mark.parametrize("start", range(4))
def test_an_upright_quad_is_cut_out_pixel_by_pixel(start):
    # Corners on the borders of pixels 20..79 and 30..49.
    quad = np.float32([[19.5, 29.5], [79.5, 29.5], [79.5, 49.5], [19.5, 49.5]])
    crop = crop_text(ramp(), np.roll(quad, start, axis=0))
    np.testing.assert_array_equal(crop, ramp()[30:50, 20:80])


def test_a_slanted_quad_is_turned_upright():
    image = np.zeros((200, 300, 3), np.uint8)
    cv2.putText(image, "TEXT", (30, 110), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    turn = cv2.getRotationMatrix2D((150, 100), -20, 1)
    slanted = cv2.warpAffine(image, turn, (300, 200))
    box = np.float32([[20, 50], [200, 50], [200, 125], [20, 125]])
    quad = box @ turn[:, :2].T.astype(np.float32) + turn[:, 2].astype(np.float32)
    crop, expected = crop_text(slanted, quad), crop_text(image, box)
    assert crop.shape == expected.shape == (75, 180, 3)
    assert cv2.absdiff(crop, expected).mean() < 8


def test_a_curved_text_is_made_straight():
    # Rings of 2 pixels around (150, 180), alternately black and white; the band covers radii
    # 100..120 on 90 degrees, so that a row of the crop is one ring.
    rows, columns = np.mgrid[:200, :300]
    radius = np.hypot(columns - 150, rows - 180)
    image = np.dstack([np.where((radius > 108) & (radius < 112), 255, 0)] * 3).astype(np.uint8)
    angles = np.radians(np.linspace(-135, -45, 16))
    rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    polygon = np.concatenate([120 * rim, (100 * rim)[::-1]]) + (150, 180)
    crop = crop_text(image, polygon.astype(np.float32))
    height, width = crop.shape[:2]
    assert height == pytest.approx(20, abs=1)
    assert width == pytest.approx(110 * np.pi / 2, rel=0.15)  # a part of each end is cut off
    middle = crop[height // 2 - 1 : height // 2 + 1]
    assert middle.mean() > 200 and crop[:5].mean() < 20 and crop[-5:].mean() < 20


def test_long_sides_run_from_left_to_right():
    band = np.float32([[0, 0], [50, 0], [100, 0], [100, 10], [50, 10], [0, 10]])
    for polygon in (band, band[::-1], np.roll(band, 2, axis=0)):
        upper, lower = long_sides(polygon)
        np.testing.assert_allclose(upper[:, 1], 0, atol=1e-6)
        np.testing.assert_allclose(lower[:, 1], 10, atol=1e-6)
        assert (np.diff(upper[:, 0]) > 0).all() and (np.diff(lower[:, 0]) > 0).all()
        np.testing.assert_allclose(upper[:, 0], lower[:, 0], atol=2)


@pytest.mark.parametrize(
    "polygon",
    [
        np.float32([[5, 5], [5, 5], [5, 5], [5, 5]]),
        np.float32([[5, 5], [9, 5], [7, 5]]),
        np.float32([[-50, -50], [-20, -50], [-20, -40], [-50, -40]]),
    ],
    ids=["one place", "a line", "beyond the image"],
)
def test_degenerate_polygons_give_an_image(polygon):
    crop = crop_text(ramp(), polygon)
    assert crop.ndim == 3 and min(crop.shape) >= 1
