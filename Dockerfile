# One image for every command of mlcanary, run as nobody in particular. `--target demo` adds what the sample model
# servers and their client need (scikit-learn); docker-compose.yml uses both.

FROM python:3.12-slim AS build
# For the compiled core; none of it gets into the image that runs. The distribution keeps one version of each only.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ENV MLCANARY_REQUIRE_CORE=1
WORKDIR /source
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY exporter exporter
COPY rules rules
COPY grafana grafana
COPY alertmanager alertmanager
# Installs the folder that was copied above, so there is no version to pin.
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/mlcanary \
 && pip --python /opt/mlcanary/bin/python install --no-cache-dir --disable-pip-version-check '.[judge]'

FROM build AS build-demo
# hadolint ignore=DL3013
RUN pip --python /opt/mlcanary/bin/python install --no-cache-dir --disable-pip-version-check '.[demo]'

FROM python:3.12-slim AS runtime
# Named volumes take the owner of the directory that they cover, so these exist before the user is switched.
RUN groupadd --gid 10877 mlcanary \
 && useradd --uid 10877 --gid mlcanary --no-create-home --home-dir /var/lib/mlcanary --shell /usr/sbin/nologin mlcanary \
 && install --directory --owner mlcanary --group mlcanary /var/lib/mlcanary /var/log/model /var/log/labels
ENV PATH=/opt/mlcanary/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/mlcanary
USER 10877:10877
ENTRYPOINT ["mlcanary"]
CMD ["--help"]

FROM runtime AS demo
COPY --from=build-demo /opt/mlcanary /opt/mlcanary

# The last stage is what `docker build .` gives.
FROM runtime AS mlcanary
COPY --from=build /opt/mlcanary /opt/mlcanary
