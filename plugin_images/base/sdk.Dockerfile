# The base of Python plugins: a Python root (Dockerfile or debian.sh) and the SDK.
ARG PYTHON_ROOT
FROM ${PYTHON_ROOT}

COPY orchestrator_sdk /usr/lib/python3/dist-packages/orchestrator_sdk
RUN ["python3", "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/python3/dist-packages/orchestrator_sdk"]

WORKDIR /plugin
CMD ["python3", "-m", "orchestrator_sdk"]
