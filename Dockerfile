# Build: docker build -t qsmsep .      Run: docker run --rm -v DATA:/data:ro -v OUT:/out qsmsep /data /out participant
# It is the BIDS App: qsmsep-bids. Nothing is fetched when it runs.
FROM python:3.11-slim
WORKDIR /opt/qsmsep
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY QSMSeparationLib QSMSeparationLib
RUN pip install --no-cache-dir --constraint constraints.txt torch \
 && pip install --no-cache-dir --constraint constraints.txt ".[cluster]"
# Files that it writes belong to whoever runs it: docker run --user $(id -u):$(id -g).
ENV HOME=/tmp
ENTRYPOINT ["qsmsep-bids"]
