"""Pages whose pictures are made, and painted as far as a test wants, because paint takes a page most of its time."""

from collections import Counter

from matplotlib.figure import Figure

from mutascope.report.blocks import Picture
from mutascope.report.pictures import picture


class Painter:
    """What a page calls in place of :func:`~mutascope.report.pictures.picture`.

    Args:
        painted: how many pictures of a figure are painted; the others are left empty.
    """

    def __init__(self, painted: int) -> None:
        self.painted, self.captions = painted, Counter[str]()

    def __call__(self, figure: Figure, caption: str) -> Picture:
        self.captions[caption] += 1
        if self.captions[caption] <= self.painted:
            return picture(figure, caption)
        return Picture("data:image/png;base64,", round(float(figure.get_size_inches()[0]) * 96), caption)
