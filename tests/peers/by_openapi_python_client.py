"""Submits argv[3] to argv[1] with the key argv[2], waits for its end and reads its result."""

import sys
from io import BytesIO
from pathlib import Path

from generated import AuthenticatedClient
from generated.api.jobs import get_job, get_result, submit_job
from generated.models.submit_job_files_body import SubmitJobFilesBody
from generated.types import File

url, key, path = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
file = File(payload=BytesIO(Path(path).read_bytes()), file_name="x.png", mime_type="image/png")
job = submit_job.sync(client=client, body=SubmitJobFilesBody(image=file, reference="R 1"))
print(job.id, flush=True)
job = get_job.sync(job.id, client=client, prefer="wait=30")
print(job.state.value, job.reference)
print(get_result.sync(job.id, client=client).finding)
