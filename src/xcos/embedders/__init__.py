"""Networks that turn aligned crops into templates, one file each."""

from xcos.embedders.dlib_resnet import DlibResNet

