"""Groups the operations of the API by their paths, under the tags of the OpenAPI document."""

_TAGS = {
    "/v1/jobs": ("jobs", "Jobs: each analyses one radiograph."),
    "/v1/uploads": ("uploads", "Large images, uploaded directly into the object store."),
    "/v1/readings": ("readings", "Readings: what people find in radiographs, and sign."),
    "/v1/studies": ("studies", "Several views of one bone, submitted and answered as one."),
    "/dicom-web": ("dicomweb", "DICOMweb STOW-RS, by which a PACS pushes images."),
    "/v1/webhook": ("webhook", "Callbacks: the events that are sent, their signatures, and test events."),
    "/v1/keys": ("keys", "The API keys of this client."),
    "/v1/ar": ("ar", "Augmented reality: what is printed for it. Scenes belong to the jobs."),
    "/v1/model": ("model", "The model that analyses the radiographs."),
    "/": ("service", "Health, metrics and description of the service; without a key."),
}
"""The name and description of each tag by the beginning of its paths. The first match counts."""


def tag_of(path: str) -> str:
    """Return the tag of an operation at `path`."""
    return next(tag for begin, (tag, _) in _TAGS.items() if path.startswith(begin))


def all_tags() -> list[dict[str, str]]:
    """Return all tags as an OpenAPI document lists them."""
    return [{"name": tag, "description": text} for tag, text in _TAGS.values()]
