"""Measures that judge explanations: each asks one question, in a file of its own, of any matcher and any explainer."""

from xcos.explainers.faithfulness.cell_occlusion import CellOcclusion
from xcos.explainers.faithfulness.completeness import Completeness
from xcos.explainers.faithfulness.deletion import Deletion
from xcos.explainers.faithfulness.dissimilar_deletion import DissimilarDeletion
from xcos.explainers.faithfulness.hiding_game import CompositeGame, HidingGame
from xcos.explainers.faithfulness.infidelity import Infidelity
from xcos.explainers.faithfulness.inpainting_game import InpaintingGame
from xcos.explainers.faithfulness.insertion import Insertion
from xcos.explainers.faithfulness.localisation import OccluderLocalisation, occluder_weight
from xcos.explainers.faithfulness.locality import Locality, measure_locality
from xcos.explainers.faithfulness.measure import FacePair, Figure, Measure
from xcos.explainers.faithfulness.patch_lfw import PatchLfw
from xcos.explainers.faithfulness.selectivity import Selectivity
from xcos.explainers.faithfulness.sensitivity import SensitivityMax
from xcos.explainers.faithfulness.stability import Stability
from xcos.explainers.faithfulness.symmetry import Symmetry
from xcos.explainers.faithfulness.triplets import Triplet, read_rendered_twins, read_triplets

__all__ = [
    "CellOcclusion",
    "Completeness",
    "CompositeGame",
    "Deletion",
    "DissimilarDeletion",
    "FacePair",
    "Figure",
    "HidingGame",
    "Infidelity",
    "InpaintingGame",
    "Insertion",
    "Locality",
    "Measure",
    "OccluderLocalisation",
    "PatchLfw",
    "Selectivity",
    "SensitivityMax",
    "Stability",
    "Symmetry",
    "Triplet",
    "measure_locality",
    "occluder_weight",
    "read_rendered_twins",
    "read_triplets",
]
