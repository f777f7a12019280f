"""Face verification that shows its evidence.

::

    import xcos
    verifier = xcos.default_verifier()
    result = verifier.verify(xcos.read_image("a.jpg"), xcos.read_image("b.jpg"))

``import xcos`` defines names and loads nothing; each name's module is imported when it is first used
(PEP 562), so a program pays only for what it touches.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from xcos.version import __version__ as __version__

if TYPE_CHECKING:
    from xcos.alignment import ARCFACE_112 as ARCFACE_112
    from xcos.alignment import DLIB_150 as DLIB_150
    from xcos.alignment import align as align
    from xcos.calibration import Calibration as Calibration
    from xcos.calibration import NonMatedScores as NonMatedScores
    from xcos.calibration import fit_calibration as fit_calibration
    from xcos.calibration import read_calibration as read_calibration
    from xcos.catalog import default_verifier as default_verifier
    from xcos.comparators.learned import LearnedHead as LearnedHead
    from xcos.compare import NormWeighted as NormWeighted
    from xcos.compare import TrustWeighted as TrustWeighted
    from xcos.compare import Uniform as Uniform
    from xcos.detectors.mtcnn import Mtcnn as Mtcnn
    from xcos.detectors.whole_image import WholeImage as WholeImage
    from xcos.detectors.yunet import YuNet as YuNet
    from xcos.embedders.dlib_resnet import DlibResNet as DlibResNet
    from xcos.embedders.onnx_model import OnnxEmbedder as OnnxEmbedder
    from xcos.errors import InputRefused as InputRefused
    from xcos.errors import UsageError as UsageError
    from xcos.errors import XcosError as XcosError
    from xcos.extractor import Extractor as Extractor
    from xcos.gallery.gallery import Gallery as Gallery
    from xcos.gallery.identifier import Identifier as Identifier
    from xcos.gallery.store import Enrolment as Enrolment
    from xcos.gallery.store import layout_of as layout_of
    from xcos.images import read_image as read_image
    from xcos.models import FaceModel as FaceModel
    from xcos.models import read_model as read_model
    from xcos.pairs import read_pairs as read_pairs
    from xcos.pairs import score_pairs as score_pairs
    from xcos.quality import QualityLimits as QualityLimits
    from xcos.types import Comparison as Comparison
    from xcos.types import CropTemplate as CropTemplate
    from xcos.types import Photo as Photo
    from xcos.verification import Verification as Verification
    from xcos.verifier import Verifier as Verifier
    from xcos.weights import WeightCard as WeightCard
    from xcos.weights import read_card as read_card

_HOME = {
    "ARCFACE_112": "alignment",
    "DLIB_150": "alignment",
    "align": "alignment",
    "Calibration": "calibration",
    "NonMatedScores": "calibration",
    "fit_calibration": "calibration",
    "read_calibration": "calibration",
    "default_verifier": "catalog",
    "LearnedHead": "comparators.learned",
    "NormWeighted": "compare",
    "TrustWeighted": "compare",
    "Uniform": "compare",
    "Mtcnn": "detectors.mtcnn",
    "WholeImage": "detectors.whole_image",
    "YuNet": "detectors.yunet",
    "DlibResNet": "embedders.dlib_resnet",
    "OnnxEmbedder": "embedders.onnx_model",
    "InputRefused": "errors",
    "UsageError": "errors",
    "XcosError": "errors",
    "Extractor": "extractor",
    "Gallery": "gallery.gallery",
    "Identifier": "gallery.identifier",
    "Enrolment": "gallery.store",
    "layout_of": "gallery.store",
    "read_image": "images",
    "FaceModel": "models",
    "read_model": "models",
    "read_pairs": "pairs",
    "score_pairs": "pairs",
    "QualityLimits": "quality",
    "Comparison": "types",
    "CropTemplate": "types",
    "Photo": "types",
    "Verification": "verification",
    "Verifier": "verifier",
    "WeightCard": "weights",
    "read_card": "weights",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'xcos' has no attribute {name!r}")
    value = getattr(import_module(f"xcos.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
