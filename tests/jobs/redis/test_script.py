import re
from pathlib import Path

import pytest

from jobs.redis.script import script

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "jobs/redis/scripts").glob("*.lua"))
REGISTERED = re.compile(r"\bscript\(\s*redis,\s*([^)]*)\)")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_script_documents_its_keys_arguments_and_return_value(file: Path):
    lines = file.read_text().splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if line[:2] != "--")]
    code = "\n".join(line for line in lines if line not in head)
    if head[0].startswith("-- Function for other scripts: returns "):
        return
    assert any(line.startswith("-- Returns ") for line in head)
    for name in ("KEYS", "ARGV"):
        documented = {int(n) for line in head for n in re.findall(r"(?<= )\d+(?= +\S)", line)}
        assert (name in code) == any(line.startswith(f"-- {name}  ") for line in head), name
        assert {int(n) for n in re.findall(rf"{name}\[(\d+)\]", code)} <= documented


def test_every_script_is_registered_and_redis_can_compile_it(redis):
    sources = [path.read_text() for path in (ROOT / "jobs").rglob("*.py")]
    registered = [re.findall(r'"(\w+)"', names) for source in sources for names in REGISTERED.findall(source)]
    assert {name for names in registered for name in names} == {file.stem for file in FILES}
    for names in registered:
        redis.script_load(script(redis, *names).script)
