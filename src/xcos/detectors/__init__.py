"""Face detectors, one file each."""

from xcos.detectors.mtcnn import Mtcnn
from xcos.detectors.whole_image import WholeImage
from xcos.detectors.yunet import YuNet

__all__ = ["Mtcnn", "WholeImage", "YuNet"]
