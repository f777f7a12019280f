"""Face detectors, one file each."""

from xcos.detectors.mtcnn import Mtcnn
from xcos.detectors.whole_image import WholeImage

