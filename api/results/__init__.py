"""A job's result in each format that a client may ask for: JSON, FHIR, DICOM and the overlay."""
