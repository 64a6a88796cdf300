"""What the detector asks of a backbone, whichever architecture provides it."""

from __future__ import annotations

from torch import nn


class Backbone(nn.Module):
    """A stem and three stages: pixels (B, 3, H, W) to features (B, C, H/16, W/16), sizes rounded up."""

    @property
    def stages(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The stem and the three stages in their order, for freezing."""
        raise NotImplementedError
