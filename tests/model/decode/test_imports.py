"""What importing the decoders leaves alone in pydicom and tifffile, and what the first file sets up."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import uid
from pydicom.pixels import get_decoder

from api import app
from model.decode import dicom_codecs

ROOT = Path(__file__).parents[3]
STATE = """
import logging, warnings
from pydicom import config, uid
from pydicom.pixels import get_decoder

def state():
    decoder = get_decoder(uid.JPEG2000)
    return {
        "plugins": "imagecodecs" in (*decoder.available_plugins, *decoder._unavailable),
        "validation": config.settings.reading_validation_mode == config.IGNORE,
        "pydicom": logging.getLogger("pydicom").disabled,
        "tifffile": logging.getLogger("tifffile").disabled,
        "warnings": any("pydicom" in str(entry[3]) for entry in warnings.filters),
    }

"""


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", STATE + code], cwd=ROOT, check=True)


def test_importing_the_decoders_leaves_pydicom_and_tifffile_alone():
    run("import model.decode.image, model.decode_processes.child\nassert not any(state().values()), state()")


def test_the_first_dicom_file_sets_pydicom_up():
    run("""
from model.decode.image import decode
from tests import pictures
decode(pictures.dicom(pictures.gray()))
assert all(set_up for name, set_up in state().items() if name != "tifffile"), state()
""")


def test_the_api_silences_pydicom_before_it_has_a_route(monkeypatch: pytest.MonkeyPatch):
    class Silenced(Exception):
        pass

    def silence() -> None:
        raise Silenced

    monkeypatch.setattr(app, "silence_pydicom", silence)
    with pytest.raises(Silenced):
        app.create_app(None, None)


def test_threads_may_register_the_codecs_at_once_and_again():
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(dicom_codecs.register) for _ in range(64)]:
            done.result()
    assert get_decoder(uid.JPEG2000).available_plugins.count(dicom_codecs.PLUGIN) <= 1
