"""Drawn images of earlier steps, shown to the discriminator again (Shrivastava et al., CVPR 2017, section 2.3)."""

import numpy as np
import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps the last images, so that the discriminator does not forget what the generator did before.

    Its contents are buffers: they are saved and resumed with the weights.

    Args:
        size: images kept; 0: what is put in comes out.
        shape: of an image: channels, height, width.
    """

    images: Tensor
    held: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    def exchange(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Put images in; half of what comes out is of earlier steps.

        Args:
            images: float [N, C, H, W].
            rng: which ones.

        Returns:
            The same shape, without a gradient.
        """
        images = images.detach()
        if not self.size:
            return images
        out = []
        for image in images.to(self.images.dtype):
            held = int(self.held)
            if held < self.size:
                self.images[held] = image
                self.held += 1
                out.append(image)
            elif rng.random() < 0.5:
                place = int(rng.integers(self.size))
                out.append(self.images[place].clone())
                self.images[place] = image
            else:
                out.append(image)
        return torch.stack(out)
