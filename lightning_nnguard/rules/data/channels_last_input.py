"""NNG115."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ConvolutionInputSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Channels of a grey, a coloured and a transparent image.
_COLOURS = frozenset({1, 3, 4})


@dataclass(frozen=True, kw_only=True)
class ChannelsLastInput(Rule[ConvolutionInputSeen]):
    """Images with the channels last, given to a convolution that takes them for rows.

    What it checks:
        Each 2-D convolution of a floating-point tensor of the batch. Its input must not have the shape (batch, size, size,
        channels) with 1, 3 or 4 channels: a square image whose rows the layer takes as channels, with a kernel wider than one.

    Why it matters:
        The kernel slides over columns and colours, and every row has weights of its own. The network may still learn, but it has
        lost what convolutions are for.

    How to fix:
        Move the channels to the front: `x = x.permute(0, 3, 1, 2)`, or `torchvision.transforms.ToTensor`, and give the layer the
        number of colours as `in_channels`.

    When it is harmless:
        When dimension 1 really holds channels, and there are as many of them as the next one is long.

    References:
        PyTorch documentation, `torch.nn.Conv2d`: the shape is (N, C, H, W).
    """

    code: ClassVar[str] = "NNG115"
    name: ClassVar[str] = "channels-last-input"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the convolution takes the rows of the image for channels and slides over columns and colours"
    fix: ClassVar[str] = "move the channels to the front, x = x.permute(0, 3, 1, 2), and set in_channels to the number of colours"

    min_size: float = threshold(5, "rows and columns of the smallest image", low=2)

    def check(self, seen: ConvolutionInputSeen) -> Finding | None:
        """Judge the input of one convolution."""
        if len(seen.shape) != 4:
            return None
        _, height, width, colours = seen.shape
        if colours not in _COLOURS or height != width or height < self.min_size or seen.kernel[-1] == 1:
            return None
        shape = "x".join(map(str, seen.shape))
        at = f"; {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"`{seen.path}` of shape {shape} looks like {height}x{width} images (at least {self.min_size:g} rows) whose last "
            f"dimension holds the colours, but the convolution takes {seen.num_channels} channels from dimension 1 (1 batch{at})",
            evidence={
                "path": seen.path,
                "shape": shape,
                "num_channels": seen.num_channels,
                "min_size": self.min_size,
            },
        )
