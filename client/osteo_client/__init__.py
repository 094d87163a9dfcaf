"""Submits bone X-rays to Osteo-Synergy, waits for results, and verifies callbacks."""

from osteo_client.async_client import AsyncClient, AsyncJobHandle
from osteo_client.callbacks import Event, from_django, from_fastapi, from_flask, verify
from osteo_client.client import Client, JobHandle
from osteo_client.errors import (
    AlreadyEnded,
    Busy,
    CallbackRefused,
    CallbackRejected,
    Forbidden,
    Gone,
    ImageRefused,
    JobFailed,
    KeyReused,
    Malformed,
    NoSuchJob,
    NoSuchKey,
    NotEnded,
    NotReady,
    NotTheService,
    OsteoError,
    Problem,
    Unauthorized,
    Unreachable,
)
from osteo_client.job import Job, JobError, Region, Result
from osteo_client.key import ApiKey, NewKey
from osteo_client.study import Probe, Study, Summary

__all__ = [
    "AlreadyEnded",
    "ApiKey",
    "AsyncClient",
    "AsyncJobHandle",
    "Busy",
    "CallbackRefused",
    "CallbackRejected",
    "Client",
    "Event",
    "Forbidden",
    "Gone",
    "ImageRefused",
    "Job",
    "JobError",
    "JobFailed",
    "JobHandle",
    "KeyReused",
    "Malformed",
    "NewKey",
    "NoSuchJob",
    "NoSuchKey",
    "NotEnded",
    "NotReady",
    "NotTheService",
    "OsteoError",
    "Probe",
    "Problem",
    "Region",
    "Result",
    "Study",
    "Summary",
    "Unauthorized",
    "Unreachable",
    "from_django",
    "from_fastapi",
    "from_flask",
    "verify",
]
