# docker build -t maas-api .                        the service, for a cluster
# docker build -t maas-embedded --target embedded . with the embedded cluster and the simulator, for docker compose
#
# Both run as any user, in group 0 or not, on a read-only root file system.
ARG PYTHON=3.12-slim-bookworm

# ---- What both images run on -------------------------------------------------------------------------------
FROM python:${PYTHON} AS runtime
LABEL org.opencontainers.image.title="PrivateMaaS" \
      org.opencontainers.image.description="Models as a Service for OpenShift and Kubernetes" \
      org.opencontainers.image.version="0.1.0"
ENV PATH=/opt/maas/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/maas
EXPOSE 8080 8081
# Alive, not ready: Kubernetes has probes of its own, and this is for those who run the image without it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["maasctl"]
CMD ["serve"]

# ---- Where packages are installed --------------------------------------------------------------------------
FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/maas
RUN python -m venv venv
COPY pyproject.toml README.md .constraints.txt ./
COPY app ./app

FROM build AS build-service
# Bytecode is checked against nothing, so that it holds whatever copying does to the times of files.
RUN venv/bin/pip install --no-compile -c .constraints.txt '.[tracing]' \
 && venv/bin/pip uninstall --yes pip \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash venv

# The embedded cluster reads manifests/ beside the package, as in a checkout.
FROM build AS build-embedded
RUN venv/bin/pip install --no-compile -c .constraints.txt -e '.[embedded]' \
 && venv/bin/pip uninstall --yes pip \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash venv app

# ---- The images --------------------------------------------------------------------------------------------
FROM runtime AS embedded
COPY --from=build-embedded /opt/maas /opt/maas
COPY manifests ./manifests
# A new volume mounted here takes its owner from it.
RUN install --directory --owner=1001 --group=0 --mode=0770 /state
USER 1001:0

FROM runtime AS service
COPY --from=build-service /opt/maas/venv ./venv
USER 1001:0
