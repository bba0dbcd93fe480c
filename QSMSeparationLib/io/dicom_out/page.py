"""A rendered page as a secondary capture, which every viewer shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from QSMSeparationLib.io.dicom_out.study import RESEARCH, Study, new_object


def page(pixels: NDArray[np.uint8], study: Study, number: int, title: str) -> Dataset:
    """Return a page (rows, columns, RGB) as an object.

    Parameters
    ----------
    pixels : ndarray
        The page.
    study : Study
        Where it goes.
    number : int
        Of the series.
    title : str
        Of the series.
    """
    image = new_object(study, SecondaryCaptureImageStorage, study.uid("page"))
    del image.FrameOfReferenceUID, image.PositionReferenceIndicator  # a page lies nowhere
    image.SeriesInstanceUID, image.SeriesNumber = study.uid("page", "series"), number
    image.SeriesDescription, image.InstanceNumber = title, 1
    image.Modality, image.ConversionType = "OT", "SYN"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = image.Laterality = ""
    image.ImageComments = RESEARCH
    image.BurnedInAnnotation = "NO"  # no word on it tells who it is
    image.LossyImageCompression = "00"
    image.Rows, image.Columns, image.SamplesPerPixel = pixels.shape
    image.PhotometricInterpretation, image.PlanarConfiguration = "RGB", 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    data = np.ascontiguousarray(pixels, dtype=np.uint8).tobytes()
    image.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
    return image
