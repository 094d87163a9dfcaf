"""The operator's first step, `python -m admin.bucket`: makes the bucket. Nothing else makes one."""

import sys

from admin.command import settings_of_command
from jobs.record.errors import TransientError
from jobs.settings import SettingsError
from jobs.store.objects import Objects


def main() -> int:
    """Make the bucket that S3_BUCKET names, unless it is there; 2 for a wrong setting or no answer."""
    try:
        settings = settings_of_command(needs=())
        Objects.connect(settings.s3_endpoint_url, settings.s3_bucket).make_bucket()
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"the bucket {settings.s3_bucket} is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
