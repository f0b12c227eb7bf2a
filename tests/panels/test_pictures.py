import warnings

import numpy as np
import pytest

from lightning_nnguard.observation import PictureSeen
from lightning_nnguard.panels.chart import ImageChart
from lightning_nnguard.panels.pictures import BAD, pictures
from tests.panels.builders import STEP


def drawn(values: object, quantity: str = "filters") -> ImageChart:
    (chart,) = pictures([PictureSeen(**STEP, where="conv1.weight", quantity=quantity, values=np.asarray(values, np.float32))])
    assert isinstance(chart, ImageChart)
    assert (chart.tag, chart.step, chart.pixels.dtype) == (f"nnguard/{quantity}", 49, np.uint8)
    return chart


def test_each_filter_has_its_own_range_and_whole_pixels() -> None:
    small, large = np.arange(9).reshape(1, 3, 3), 1000 * np.arange(9).reshape(1, 3, 3)
    pixels = drawn([small, large]).pixels
    first, second = pixels[10:58, 10:58], pixels[10:58, 61:109]
    assert np.array_equal(first, second)
    assert np.array_equal(first[8::16, 8::16, 0], np.round(np.arange(9) / 8 * 255).reshape(3, 3))
    assert np.array_equal(first, first[8::16, 8::16].repeat(16, 0).repeat(16, 1))


def test_a_batch_has_one_range() -> None:
    dark, bright = np.zeros((1, 28, 28)), np.ones((1, 28, 28))
    pixels = drawn([dark, bright], "batch").pixels
    assert (pixels[10:150, 10:150] == 0).all()
    assert (pixels[10:150, 153:293] == 255).all()


def test_colors_stay_colors() -> None:
    red = np.zeros((1, 3, 5, 5))
    red[:, 0] = 1
    assert drawn(red).pixels[20, 20].tolist() == [255, 0, 0]


def test_constant_filter_is_grey() -> None:
    assert drawn(np.full((1, 1, 3, 3), 7.0)).pixels[20, 20].tolist() == [128, 128, 128]


def test_values_that_are_no_numbers_are_magenta_and_spoil_nothing_else() -> None:
    values = np.arange(9.0).reshape(1, 1, 3, 3)
    values[0, 0, 1, 1] = np.nan
    values[0, 0, 0, 1] = -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = drawn(values).pixels
    assert pixels[34, 34].tolist() == BAD.tolist()
    assert pixels[18, 34].tolist() == BAD.tolist()
    assert (pixels[18, 18, 0], pixels[50, 50, 0]) == (0, 255)


def test_nothing_finite_is_drawn() -> None:
    assert (drawn(np.full((1, 1, 3, 3), np.nan)).pixels[10:58, 10:58] == BAD).all()


def test_range_beyond_float32_does_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = drawn(np.array([-3e38, 3e38]).reshape(1, 1, 1, 2)).pixels
    assert (pixels[20, 15, 0], pixels[20, 50, 0]) == (0, 255)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (4096, 3, 3, 3), (2, 1, 1, 4000), (2, 1, 4000, 1), (64, 3, 224, 224), (7, 1, 11, 11)]
)
@pytest.mark.parametrize("quantity", ["filters", "batch"])
def test_size_is_bounded(shape: tuple[int, ...], quantity: str) -> None:
    height, width, _ = drawn(np.random.default_rng(0).normal(size=shape), quantity).pixels.shape
    assert height <= 1600
    assert width <= 1600


def test_the_first_16_inputs() -> None:
    values = np.zeros((100, 1, 160, 160))
    values[16:] = 1.0
    pixels = drawn(values, "batch").pixels
    assert pixels.shape[:2] == (2 * 163 + 64, 8 * 163 - 3 + 20)
    tiles = [pixels[10 + 163 * row :, 10 + 163 * column :][:160, :160] for row in range(2) for column in range(8)]
    assert all((tile == 0).all() for tile in tiles)


def test_nothing_to_see_draws_nothing() -> None:
    assert pictures([PictureSeen(**STEP, quantity="batch", values=np.zeros((0, 1, 3, 3), np.float32))]) == []
