"""The operator's first step, `python -m api.bucket`: makes the bucket. Nothing else makes one."""

import os
import sys

from jobs.errors import TransientError
from jobs.objects import Objects
from jobs.settings import Settings, SettingsError


def main() -> int:
    """Make the bucket that S3_BUCKET names, unless it is there; 2 for a wrong setting or no answer."""
    try:
        settings = Settings.from_environment(os.environ, signs=False)
        Objects.connect(settings.s3_endpoint_url, settings.s3_bucket).make_bucket()
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"the bucket {settings.s3_bucket} is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
