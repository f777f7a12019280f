"""Everything that can go wrong, as types with stable codes.

::

    XcosError
    ├── UsageError            the request itself is wrong           (command line: exit 2)
    │   ├── InvalidArgument         invalid_argument
    │   ├── InvalidPairList         invalid_pair_list
    │   ├── InvalidProtocol         invalid_protocol
    │   ├── UnsupportedFmr          unsupported_fmr
    │   ├── InvalidCard             invalid_card
    │   ├── InvalidConfig           invalid_config
    │   ├── InvalidModel            invalid_model
    │   ├── NetworkInTraining       network_in_training
    │   ├── IncompatibleTemplates   incompatible_templates
    │   ├── InvalidGallery          invalid_gallery
    │   ├── InvalidImport           invalid_import
    │   ├── AlreadyEnrolled         already_enrolled
    │   ├── NoSuchSubject           no_such_subject
    │   └── PurposeMismatch         purpose_mismatch
    ├── InputRefused          a photo cannot be used                (command line: exit 4)
    │   ├── UnreadableSource        unreadable_source
    │   ├── UnsupportedFormat       unsupported_format
    │   ├── CorruptImage            corrupt_image
    │   ├── ImageTooLarge           too_large
    │   ├── InvalidPixels           invalid_pixels
    │   ├── NoFace                  no_face
    │   ├── MultipleFaces           multiple_faces
    │   ├── NoSuchFace              no_such_face
    │   ├── UnusableFace            unusable_face
    │   └── InvalidTemplate         invalid_template
    └── InstallationError     this installation cannot do it        (command line: exit 5)
        ├── MissingPackage          missing_package
        ├── WeightsMissing          weights_missing
        ├── WeightsMismatch         weights_mismatch
        ├── StoreBusy               store_busy
        ├── StoreDamaged            store_damaged
        └── StoreFailed             store_failed

A message is one sentence group that says what came, what was wanted and what to do. ``details`` holds the
same facts as plain JSON values. The code is part of the public interface: it does not change.
"""

from __future__ import annotations

from typing import ClassVar

Detail = str | int | float | bool | None | list[str] | list[float]


class XcosError(Exception):
    """Root of all errors raised on purpose by this package."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Detail) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def to_dict(self) -> dict[str, object]:
        """``{"error": {"code", "message", "details"}}``, the form every interface prints."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


class UsageError(XcosError):
    """The request itself is wrong; another request would work."""


class InvalidArgument(UsageError, ValueError):
    """An argument has the wrong type, shape or range."""

    code = "invalid_argument"


class InvalidPairList(UsageError):
    """A list of pairs cannot be read; the message names the line."""

    code = "invalid_pair_list"


class InvalidProtocol(UsageError):
    """A protocol's list, or a table of scores, cannot be read; ``details`` name the file and the line, None where a
    file has none."""

    code = "invalid_protocol"


class UnsupportedFmr(UsageError):
    """The calibration data cannot support a threshold at the requested false match rate."""

    code = "unsupported_fmr"


class InvalidCard(UsageError):
    """A weight card or calibration card is incomplete, altered or made for something else."""

    code = "invalid_card"


class InvalidConfig(UsageError):
    """A training configuration that cannot be trained; the message names the file and the key."""

    code = "invalid_config"


class InvalidModel(UsageError):
    """A user's model file cannot be used as what it was given for."""

    code = "invalid_model"


class NetworkInTraining(UsageError):
    """A network is in training mode, where its numbers depend on the batch and on chance; it was not explained."""

    code = "network_in_training"


class IncompatibleTemplates(UsageError):
    """Templates of different models, which must not be compared."""

    code = "incompatible_templates"


class InvalidGallery(UsageError):
    """A file that is no gallery of this program, or one of a version it does not know; it was left as it was."""

    code = "invalid_gallery"


class InvalidImport(UsageError):
    """An exported gallery cannot be imported; the message names the file and the line, and nothing was imported."""

    code = "invalid_import"


class AlreadyEnrolled(UsageError):
    """The subject, or the same photo of it, is in the gallery already."""

    code = "already_enrolled"


class NoSuchSubject(UsageError):
    """The gallery has no subject of this id."""

    code = "no_such_subject"


class PurposeMismatch(UsageError):
    """A search for another purpose than the gallery was made for."""

    code = "purpose_mismatch"


class InputRefused(XcosError):
    """A photo cannot be used."""

    def about(self, side: str) -> InputRefused:
        """The same error, saying which of two photos it speaks of."""
        return type(self)(f"{side}: {self.message}", **{**self.details, "side": side})


class UnreadableSource(InputRefused):
    """The path is missing, is not a regular file or may not be read."""

    code = "unreadable_source"


class UnsupportedFormat(InputRefused):
    """The bytes are not one of the image formats read here."""

    code = "unsupported_format"


class CorruptImage(InputRefused):
    """The bytes begin like an image but cannot be decoded."""

    code = "corrupt_image"


class ImageTooLarge(InputRefused):
    """More bytes or pixels than allowed; found before decoding."""

    code = "too_large"


class InvalidPixels(InputRefused):
    """An array or pixel format that has no documented conversion to RGB."""

    code = "invalid_pixels"


class NoFace(InputRefused):
    """The detector found no face."""

    code = "no_face"


class MultipleFaces(InputRefused):
    """Several faces where exactly one was asked for."""

    code = "multiple_faces"


class NoSuchFace(InputRefused):
    """The face asked for by index does not exist."""

    code = "no_such_face"


class UnusableFace(InputRefused):
    """The detector's landmarks cannot be those of a face."""

    code = "unusable_face"


class InvalidTemplate(InputRefused):
    """A template that is not finite or has no direction (all zero)."""

    code = "invalid_template"


class InstallationError(XcosError):
    """This installation cannot do what was asked; the photo and the request may be fine."""


class MissingPackage(InstallationError):
    """A package this program needs cannot be imported."""

    code = "missing_package"


class WeightsMissing(InstallationError):
    """A weight file is not where it should be."""

    code = "weights_missing"


class WeightsMismatch(InstallationError):
    """A weight file is not the one that was published; it was not loaded."""

    code = "weights_mismatch"


class StoreBusy(InstallationError):
    """Another process keeps writing to the same store; nothing was changed."""

    code = "store_busy"


class StoreDamaged(InstallationError):
    """A store's file is damaged: what it says cannot be relied on."""

    code = "store_damaged"


class StoreFailed(InstallationError):
    """The disk is full, protected or broken; what was acknowledged before stands."""

    code = "store_failed"
