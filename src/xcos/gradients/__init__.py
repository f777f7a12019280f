"""Explainers that look inside a network: they need its gradients, and so torch (extra ``train``)."""

from importlib.util import find_spec
from sys import modules

from xcos.errors import MissingPackage

if ("torch" in modules and modules["torch"] is None) or ("torch" not in modules and find_spec("torch") is None):
    raise MissingPackage("explaining by gradients needs torch: pip install 'xcos[train]'")
