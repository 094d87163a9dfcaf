"""Runs commands of this project in one process: `python -m stack.commands '[["MODULE", "ARGUMENT"]]'`.

Each would import the same packages for a second. It prints what each command has printed, as a list in JSON,
or ends with the status of the first that fails.
"""

import io
import json
import runpy
import sys
from contextlib import redirect_stdout


def main() -> int:
    """Run the commands of the command line, in their order."""
    printed = []
    for command in json.loads(sys.argv[1]):
        sys.argv = command
        with redirect_stdout(io.StringIO()) as output:
            try:
                runpy.run_module(command[0], run_name="__main__", alter_sys=True)
            except SystemExit as end:
                if end.code:
                    print(f"python -m {' '.join(command)}", file=sys.stderr)
                    raise
        printed.append(output.getvalue())
    print(json.dumps(printed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
