import pytest

from jobs.reading.disagreement import disagreement, same_place

REGION = [100, 100, 30, 20]


@pytest.mark.parametrize(
    ("site", "same"),
    [
        ({"point": [115, 110]}, True),
        ({"point": [90, 95]}, True),
        ({"point": [144, 129]}, True),
        ({"point": [84, 110]}, False),
        ({"point": [115, 131]}, False),
        ({"box": [95, 95, 40, 30]}, True),
        ({"box": [40, 40, 200, 200]}, True),
        ({"box": [118, 108, 30, 20]}, True),
        ({"box": [126, 116, 200, 200]}, False),
        ({"box": [200, 200, 30, 20]}, False),
    ],
)
def test_a_site_is_at_a_region_or_elsewhere(site: dict[str, list[float]], same: bool):
    assert same_place(site, REGION) is same
    result = {"finding": "fracture", "regions": [{"box": REGION, "score": 0.9}]}
    assert disagreement("fracture", [site], result) == ("none" if same else "location")
