"""Networks that turn aligned crops into templates, one file each."""

from xcos.embedders.dlib_resnet import DlibResNet
from xcos.embedders.onnx_model import OnnxEmbedder

__all__ = ["DlibResNet", "OnnxEmbedder"]
