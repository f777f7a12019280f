"""Who publishes which set, and on what terms. Readers never download; these pages are what a missing file is told.

The page is the owner's own, not a copy elsewhere. Terms are stated only as far as they could be verified on
2026-11-24; everywhere else the owner's page is to be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

ASK = "terms: see the owner's page"


@dataclass(frozen=True)
class Owner:
    """Where a set comes from."""

    title: str
    name: str
    page: str
    terms: str = ASK

    @property
    def told(self) -> str:
        """One sentence for messages."""
        return f"{self.title} is published by {self.name} at {self.page}; {self.terms}; nothing is downloaded for you"


LFW = Owner("LFW", "the University of Massachusetts, Amherst", "http://vis-www.cs.umass.edu/lfw/")
CALFW = Owner("CALFW", "Beijing University of Posts and Telecommunications", "http://whdeng.cn/CALFW/index.html")
CPLFW = Owner("CPLFW", "Beijing University of Posts and Telecommunications", "http://www.whdeng.cn/CPLFW/index.html")
SLLFW = Owner(
    "SLLFW (list; the photos are LFW's)",
    "Beijing University of Posts and Telecommunications",
    "http://www.whdeng.cn/SLLFW/index.html",
)
CFP = Owner("Celebrities in Frontal-Profile", "its authors (Sengupta et al. 2016)", "http://www.cfpw.io/")
AGEDB = Owner("AgeDB", "Imperial College London, iBUG", "https://ibug.doc.ic.ac.uk/resources/agedb/")
VGGFACE2 = Owner(
    "VGGFace2, whose test photos VGG2-FP pairs,",
    "the University of Oxford, VGG",
    "https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/",
)
RFW = Owner("RFW", "Beijing University of Posts and Telecommunications", "http://www.whdeng.cn/RFW/index.html")
YTF = Owner("YouTube Faces", "Tel Aviv University", "https://www.cs.tau.ac.il/~wolf/ytfaces/")
IJB = Owner(
    "IJB-B and IJB-C",
    "the National Institute of Standards and Technology",
    "https://www.nist.gov/programs-projects/face-challenges",
    "terms: NIST ended their distribution on 14 March 2023; who has them is bound by what NIST then sent with them "
    "(the lists in meta/ and the crops are InsightFace's arrangement)",
)
TINYFACE = Owner("TinyFace", "Queen Mary University of London", "https://qmul-tinyface.github.io/")
MFR2 = Owner("MFR2", "the authors of MaskTheFace", "https://github.com/aqeelanwar/MaskTheFace")
BIN = Owner(
    "The arrangement as .bin",
    "InsightFace",
    "https://github.com/deepinsight/insightface",
    "terms: those of the set whose photos are in it, at its owner",
)
