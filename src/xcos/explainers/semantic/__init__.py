"""Explanations in named parts of the face: measured effects, exact contributions, sentences that quote nothing else."""

from xcos.explainers.semantic.check import Verdict, check_sentences
from xcos.explainers.semantic.effects import RegionMeasure, SemanticMeasures, SemanticRegions
from xcos.explainers.semantic.regions import Ellipse, FaceRegion, Polygon, RegionSet, built_in, read_regions
from xcos.explainers.semantic.sentences import Told, region_table, rephrase, sentences, summary

__all__ = [
    "Ellipse",
    "FaceRegion",
    "Polygon",
    "RegionMeasure",
    "RegionSet",
    "SemanticMeasures",
    "SemanticRegions",
    "Told",
    "Verdict",
    "built_in",
    "check_sentences",
    "read_regions",
    "region_table",
    "rephrase",
    "sentences",
    "summary",
]
