"""What other people read our scenes and sheets with. A test skips, loudly, where its peer is missing."""

from importlib.util import find_spec

import pytest

from tests.api.conftest import ROOT

NPM = ROOT / "var/peers/node_modules"


def needs_package(*names: str) -> pytest.MarkDecorator:
    """Skip where a package of the extra `dev` is missing, as on a machine for which it has no wheel."""
    missing = [name for name in names if find_spec(name) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"NOTHING WAS READ BY {', '.join(missing)}: not installed"
    )


def needs_npm(*names: str) -> pytest.MarkDecorator:
    """Skip where a package of tests/peers/package.json is missing."""
    missing = [name for name in names if not (NPM / name).is_dir()]
    reason = f"NOTHING WAS READ BY {', '.join(missing)}: `make test-clients` installs it, and needs npm"
    return pytest.mark.skipif(bool(missing), reason=reason)
