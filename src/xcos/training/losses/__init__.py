"""Losses, one class a file."""

from xcos.training.losses.adaface import AdaFace
from xcos.training.losses.arcface import ArcFace
from xcos.training.losses.classification import ClassificationLoss
from xcos.training.losses.classifier import Classifier
from xcos.training.losses.cosface import CosFace
from xcos.training.losses.sharded import ShardedClassifier
from xcos.training.losses.softmax import Softmax
from xcos.training.losses.sphereface2 import SphereFace2
from xcos.training.losses.teacher_cosine import TeacherCosine
from xcos.training.losses.triplet import TripletSemiHard

__all__ = [
    "AdaFace",
    "ArcFace",
    "ClassificationLoss",
    "Classifier",
    "CosFace",
    "ShardedClassifier",
    "Softmax",
    "SphereFace2",
    "TeacherCosine",
    "TripletSemiHard",
]
