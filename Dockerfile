# One image for every process: `leverframe gateway`, `leverframe worker --queue hands|sandbox|build`, and flagd.
#
# The sandbox runs a repository's tests with the packages of this image, so derive from it what they need:
#   FROM leverframe
#   RUN pip install --require-hashes -r requirements-of-the-repository.txt
# and, where single tests are to be executed again, our pytest plugin:
#   RUN pip install "./leverframe_pytest[clock]"

FROM ghcr.io/open-feature/flagd:v0.11.4 AS flagd

FROM python:3.13-slim-trixie AS packages
WORKDIR /opt/leverframe
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv .venv \
 && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt

FROM python:3.13-slim-trixie
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap git openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /var/lib/leverframe --shell /usr/sbin/nologin leverframe \
 && install --directory --owner leverframe --group leverframe \
      /var/lib/leverframe /var/lib/leverframe/artifacts /var/lib/leverframe/flags \
      /var/lib/leverframe/reports
# flagd's own image has no shell and no client, so no health check could run in it.
COPY --from=flagd /flagd-build /usr/local/bin/flagd
COPY --from=packages /opt/leverframe/.venv /opt/leverframe/.venv
COPY leverframe /opt/leverframe/leverframe
COPY agents /opt/leverframe/agents
COPY workflows /opt/leverframe/workflows
COPY activities /opt/leverframe/activities
COPY policies /opt/leverframe/policies
COPY leverframe_pytest /opt/leverframe/leverframe_pytest
# A new volume begins with what the image has at its place: a definition file without flags.
RUN echo '{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {}}' > /var/lib/leverframe/flags/flags.json \
 && chown leverframe:leverframe /var/lib/leverframe/flags/flags.json

ENV PATH="/opt/leverframe/.venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    LEVERFRAME_HOME=/var/lib/leverframe \
    LEVERFRAME_FLAGS__PATH=/var/lib/leverframe/flags/flags.json \
    LEVERFRAME_TELEMETRY__LOG_FORMAT=json
# The root packages have general names, so the tree itself has to be first on the path.
WORKDIR /opt/leverframe
USER leverframe
ENTRYPOINT ["python", "-m", "leverframe"]
CMD ["--help"]
