"""What the networks are built of."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional


class Fittable(nn.Module, ABC):
    """A network whose encoder can rest while what follows it learns."""

    @abstractmethod
    def encoder(self) -> Iterator[nn.Parameter]:
        """Yield the encoder's parameters."""


class Convolution(nn.Sequential):
    """A convolution that keeps the size but for `stride`, normalised, rectified."""

    def __init__(self, before: int, after: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after, momentum=0.02), nn.ReLU(inplace=True)
        )


class Residual(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = Convolution(before, after, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after, momentum=0.02))
        self.shortcut = nn.Identity() if before == after and stride == 1 else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(n, before, h, w)`` to ``(n, after, h / stride, w / stride)``."""
        return functional.relu(self.second(self.first(images)) + self.shortcut(images))
