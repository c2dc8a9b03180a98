"""The kinds of panels a report is made of: data and limits first, drawing beside it."""

from cryoloom.report.panels.angular_distribution import AngularDistribution
from cryoloom.report.panels.bars import Bars
from cryoloom.report.panels.dendrogram import Dendrogram
from cryoloom.report.panels.flow_arrows import FlowArrows
from cryoloom.report.panels.funnel import Funnel
from cryoloom.report.panels.heat_map import HeatMap
from cryoloom.report.panels.histogram import Histogram
from cryoloom.report.panels.image_grid import ImageGrid
from cryoloom.report.panels.line_plot import LinePlot, Series
from cryoloom.report.panels.map_slices import MapSlices
from cryoloom.report.panels.map_surface import MapSurface
from cryoloom.report.panels.marked_image import MarkedImage
from cryoloom.report.panels.masked_images import MaskedImages
from cryoloom.report.panels.notice import Notice
from cryoloom.report.panels.table_view import TableView
from cryoloom.report.panels.trajectory import Trajectory

__all__ = [
    "AngularDistribution",
    "Bars",
    "Dendrogram",
    "FlowArrows",
    "Funnel",
    "HeatMap",
    "Histogram",
    "ImageGrid",
    "LinePlot",
    "MapSlices",
    "MapSurface",
    "MarkedImage",
    "MaskedImages",
    "Notice",
    "Series",
    "TableView",
    "Trajectory",
]
