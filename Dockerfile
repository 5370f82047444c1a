# One image; the command selects the process: worker (default), loader, trainer, or any other `nba` command.
#   docker build -t nba .                                   Decide worker: no training dependencies
#   docker build -t nba-jobs --build-arg EXTRA=training .   loader, trainer, feature builds
FROM python:3.11-slim AS build
ARG EXTRA=serving
WORKDIR /build
COPY pyproject.toml README.md requirements.lock ./
COPY decision_service decision_service
COPY training training
COPY feature_repo feature_repo
# Versions come from the lock as constraints; which of them are installed follows from the extra.
RUN python -m venv /venv \
 && grep -E '^[A-Za-z0-9._-]+(\[[^]]*\])?==' requirements.lock | sed 's/ *\\$//' > constraints.txt \
 && if [ "$EXTRA" = serving ]; then target=.; else target=".[$EXTRA]"; fi \
 && /venv/bin/pip install --no-cache-dir -c constraints.txt "$target"

FROM python:3.11-slim
# libgomp is LightGBM's and Vowpal Wabbit's OpenMP runtime.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 nba
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH NBA_HOST=0.0.0.0 NBA_HOME=/home/nba/data PYTHONUNBUFFERED=1
USER nba
WORKDIR /home/nba
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "from decision_service.client import DecisionClient; DecisionClient('127.0.0.1:50051').wait_ready(2)"]
ENTRYPOINT ["nba"]
CMD ["worker"]
