"""What each method is called in full, and the one sentence its explanations must be read with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A method in words, for reports and pictures; ASCII alone, which is what pictures can draw."""

    title: str
    caveat: str


def about(method: str) -> About:
    """What is known of a method by its name; of an unknown one its name, and that nothing is known."""
    return METHODS.get(method, About(method, "Nothing is known here of when this method is wrong."))


METHODS: dict[str, About] = {
    "own": About(
        "The comparison's own maps",
        "The cells add up to the score exactly, but a cell of a deep network sees more of the face than its square.",
    ),
    "norm": About(
        "Norm weighting",
        "The cells add up to the cosine of the flattened grids, which is the score only of a matcher that compares by "
        "it, and a cell sees more of the face than its square.",
    ),
    "centered": About(
        "Contributions beyond the threshold",
        "The cells add up to score minus threshold exactly, but another threshold gives another map, and a cell sees "
        "more of the face than its square.",
    ),
    "seen": About(
        "Contributions beyond the threshold, where cells look",
        "The squares add up to score minus threshold exactly, but where a cell looks was measured on other photos and "
        "is the same for all pairs: much of the map is where this network always looks.",
    ),
    "cell-occlusion": About(
        "Cell occlusion, brute force",
        "Measured is what a patch does that no face has, and of two cells of which either would do, neither looks "
        "important.",
    ),
    "x-face": About(
        "Sliding occlusion (x-face)",
        "The network reacts to a black patch itself, and pixels near the border count for less, as fewer patches reach "
        "them.",
    ),
    "rise": About(
        "RISE",
        "An estimate from random masks: detail finer than their cells is chance, and another seed shows how much.",
    ),
    "corrrise": About(
        "CorrRISE",
        "Correlation is not size: a steady small effect looks like a decisive one; detail finer than the masks is "
        "chance, and another seed shows how much.",
    ),
    "minplus": About(
        "MinPlus",
        "A spot shown alone on the fill is no face, and the greedy half depends on which spot came first.",
    ),
    "dise": About(
        "DISE",
        "It shows what makes this pair alike, be it shared by everybody or not, unless non-mates were given; outside "
        "the face prior there is nothing by construction.",
    ),
    "lime": About(
        "LIME over landmark regions",
        "A straight line through whole regions: large ones weigh more because they are large, and what regions do only "
        "together is lost.",
    ),
    "transport": About(
        "Transport between cells (DeepFace-EMD)",
        "The cells add up to the transport sum, not to the score of a matcher that compares in place; plain skin finds "
        "its like in many places.",
    ),
    "semantic": About(
        "Named regions",
        "Hiding a region is a change too, and networks answer to it; the numbers of two regions do not add up to those "
        "of both.",
    ),
    "counterfactual": About(
        "What would flip the decision",
        "Leaving cells out of the maps is exact, but cannot be done to a photo: what is hidden there is seen by the "
        "other cells as well.",
    ),
    "grad-cam": About(
        "Grad-CAM",
        "Where the score would rise with the last feature map: the more certain the match, the less it has to say; a "
        "place sees more of the face than its square.",
    ),
    "xssab": About(
        "xSSAB",
        "A gradient says what an infinitely small change would do, not what the pixel does now, and another threshold "
        "gives another map.",
    ),
    "fggb": About(
        "FGGB",
        "All channels look at much the same places: where nearly all speak for one side this is a picture of where "
        "faces are, with the sign of the decision.",
    ),
    "ebp": About(
        "Excitation backprop (EBP)",
        "Strong edges win whoever the person is, and what is negative in both photos is not seen: any partner gives "
        "nearly the same map.",
    ),
    "contrastive-ebp": About(
        "Contrastive excitation backprop",
        "The difference of two similar maps, scaled up to sum 1; without somebody else's photo it asks what tells a "
        "match from its opposite, not from another person.",
    ),
    "truncated-ebp": About(
        "Truncated contrastive excitation backprop",
        "The difference of two similar maps without the places of least probability; what is left is scaled up to sum "
        "1, however little it was.",
    ),
    "subtree-ebp": About(
        "Weighted subtree excitation backprop",
        "One unit of each layer stands for all: of two that tell equally much one is left out, and the map can jump "
        "between photos that hardly differ.",
    ),
    "random": About("Floor: chance", "No explanation: chance, as a floor for those that are."),
    "center": About("Floor: the centre", "No explanation: the middle of every crop, as a floor for those that are."),
    "edges": About("Floor: edges", "No explanation: the edges of each photo by itself, as a floor for those that are."),
    "uniform": About("Floor: uniform", "No explanation: the same everywhere, as a floor for those that are."),
}
"""By the name of the method."""
