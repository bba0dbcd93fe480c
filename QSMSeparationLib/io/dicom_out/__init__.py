"""Results as DICOM objects that go into the study of the scan: plain data in, datasets out."""
