"""The parts of the API under which its description groups the operations, by where they lie."""

_TAGS = {
    "/v1/jobs": ("jobs", "One radiograph: submitted, waited for, read and deleted."),
    "/v1/uploads": ("uploads", "Images that go into the object store past the API."),
    "/v1/studies": ("studies", "Several views of one bone, as one."),
    "/dicom-web": ("dicomweb", "STOW-RS, for a PACS that pushes."),
    "/v1/webhook": ("webhook", "Callbacks: which come, how they are signed, and test events."),
    "/v1/keys": ("keys", "API keys of this client."),
    "/v1/model": ("model", "What analyses."),
    "/": ("service", "Its health, its counts and its description; without a key."),
}
"""What each tag means, by the beginning of its paths; the first that fits counts."""


def tag_of(path: str) -> str:
    """The tag of an operation at `path`."""
    return next(tag for begin, (tag, _) in _TAGS.items() if path.startswith(begin))


def all_tags() -> list[dict[str, str]]:
    """All tags as an OpenAPI document lists them."""
    return [{"name": tag, "description": text} for tag, text in _TAGS.values()]
