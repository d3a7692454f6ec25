"""interpolate and channels into pixels, by hand and by numpy."""

from __future__ import annotations

import numpy
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

LINE = [[[0.0, 1.0, 3.0]]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 6}, [0, 0, 1, 1, 3, 3]),
        ({"scale_factor": 2, "mode": "nearest-exact"}, [0, 0, 1, 1, 3, 3]),
        ({"size": 5, "mode": "linear", "align_corners": True}, [0, 0.5, 1, 2, 3]),
        ({"scale_factor": 2, "mode": "linear"}, [0, 0.25, 0.75, 1.5, 2.5, 3]),
        ({"size": 1, "mode": "area"}, [4 / 3]),
    ],
)
def test_a_line_is_resized(options, expected):
    found = F.interpolate(torch.tensor(LINE), **options)
    numpy.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_weights_sum_to_one_and_gradients_too(mode, antialias):
    image = torch.ones(1, 2, 7, 5, requires_grad=True)
    small = F.interpolate(image, size=(3, 4), mode=mode, antialias=antialias)
    numpy.testing.assert_allclose(small.detach().numpy(), numpy.ones((1, 2, 3, 4)), rtol=1e-5)
    small.sum().backward()
    numpy.testing.assert_allclose(image.grad.sum().item(), 24.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "error"),
    [
        ((1, 1, 4), {}, ValueError),
        ((1, 1, 4), {"size": 2, "scale_factor": 2}, ValueError),
        ((1, 1, 4), {"size": (2, 2)}, ValueError),
        ((1, 1, 4), {"size": 2, "align_corners": True}, ValueError),
        ((1, 1, 4), {"size": 2, "mode": "bilinear"}, NotImplementedError),
        ((1, 1, 4), {"size": 2, "mode": "linear", "antialias": True}, ValueError),
        ((1, 1, 4), {"size": 0}, RuntimeError),
    ],
)
def test_what_does_not_go_together_is_refused(shape, options, error):
    with pytest.raises(error):
        F.interpolate(torch.ones(shape), **options)


def test_pixels_go_there_and_back():
    image = torch.arange(48.0).reshape(1, 8, 2, 3)
    large = nn.PixelShuffle(2)(image)
    assert large.shape == (1, 2, 4, 6)
    assert large[0, 0, 0, 1].item() == image[0, 1, 0, 0].item()
    assert torch.equal(nn.PixelUnshuffle(2)(large), image)
    turned = nn.ChannelShuffle(2)(image)
    assert turned[0, :, 0, 0].tolist() == image[0, [0, 4, 1, 5, 2, 6, 3, 7], 0, 0].tolist()
    with pytest.raises(RuntimeError, match="divisible"):
        F.pixel_shuffle(image, 3)


def test_upsample_shows_its_settings():
    assert repr(nn.Upsample(scale_factor=2)) == "Upsample(scale_factor=2.0, mode='nearest')"
    layer = nn.UpsamplingBilinear2d(size=(4, 4))
    assert layer(torch.ones(1, 1, 2, 2)).shape == (1, 1, 4, 4)
