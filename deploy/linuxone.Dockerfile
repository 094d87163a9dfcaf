# The images of the service for IBM LinuxONE (s390x); deploy/Dockerfile makes those for x86 and ARM.
# `--target light`: API, delivery, sweeper and Flower. `--target inference`: the inference worker, on IBM's TensorFlow,
# which drives Telum's accelerator: --build-arg IBM_TENSORFLOW=<its image and the tag that you chose>. There is no
# default: its registry wants credentials. In a file of its own, because a blank FROM stops the build of every target.

ARG IBM_TENSORFLOW

FROM debian:13.3-slim AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/tmp
COPY deploy/linuxone.packages /tmp/
# What is compiled comes from Debian: the registry has no wheels for s390x, and what Debian holds, we have tested.
RUN apt-get update && xargs apt-get install --yes --no-install-recommends < /tmp/linuxone.packages \
    && rm -rf /var/lib/apt/lists/*
# The numbers are those of docker-compose.yml: --user-group would take another for the group.
RUN groupadd --system --gid 10001 osteo \
    && useradd --system --uid 10001 --gid osteo --no-create-home --shell /usr/sbin/nologin osteo
WORKDIR /srv/osteo
COPY LICENSE NOTICE ./

FROM base AS light-packages
COPY deploy/linuxone.lock /tmp/
RUN python3 -m venv --system-site-packages /opt/venv \
    && pip install --no-deps --only-binary :all: --no-binary http-ece --require-hashes -r /tmp/linuxone.lock

FROM base AS light
COPY --from=light-packages /opt/venv /opt/venv
COPY jobs jobs
COPY model/*.py model/
COPY model/decode model/decode
COPY model/decode_processes model/decode_processes
COPY admin admin
COPY api api
COPY worker worker
USER osteo
EXPOSE 8000
CMD ["gunicorn", "--config", "api/gunicorn.conf.py", "--bind", "0.0.0.0:8000"]

FROM ${IBM_TENSORFLOW} AS inference
# IBM's image says in its samples: Python lies in /opt/venv, packages come by dnf, only root may install them.
USER root
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/tmp \
    # TensorFlow says at start which operations it hands to the accelerator: the remapper is what hands them over.
    TF_CPP_MIN_LOG_LEVEL=0 \
    TF_CPP_VMODULE=remapper=1
COPY deploy/linuxone.lock deploy/light.lock /tmp/
# Ours go into a folder behind IBM's own, so that its TensorFlow, its numpy and whatever these need stay as they are.
# Pillow has to be compiled; pip takes its version and hashes from the lock.
RUN dnf install -y gcc python3-devel freetype-devel libjpeg-turbo-devel libtiff-devel libwebp-devel zlib-devel \
    && dnf clean all \
    && sed -n '/^pillow==/,/^[a-z]/p' /tmp/light.lock | sed '$d' > /tmp/pillow.lock \
    && pip install --target /opt/osteo --no-deps --only-binary :all: --no-binary http-ece --require-hashes \
        -r /tmp/linuxone.lock \
    && pip install --target /opt/osteo --no-deps --no-binary pillow --require-hashes -r /tmp/pillow.lock \
    && echo /opt/osteo > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/osteo.pth"
# The numbers are those of docker-compose.yml: --user-group would take another for the group.
RUN groupadd --system --gid 10001 osteo \
    && useradd --system --uid 10001 --gid osteo --no-create-home --shell /usr/sbin/nologin osteo
WORKDIR /srv/osteo
COPY LICENSE NOTICE ./
COPY admin admin
COPY jobs jobs
COPY model model
COPY worker worker
COPY deploy/linuxone_check.py deploy/
USER osteo
CMD ["python", "-m", "worker", "inference"]
