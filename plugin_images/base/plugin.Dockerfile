# How a plugin folder without a Dockerfile of its own becomes an image. Needs no network.
ARG ORCHESTRATOR_BASE
FROM ${ORCHESTRATOR_BASE}

# Compiling parses the plugin's code and runs none of it: -I and -S keep every file of the plugin
# off the import path. A file that does not compile (a template, say) is no reason to stop here.
COPY site-packages /plugin/site-packages
RUN python3 -I -S -m compileall -q --invalidation-mode unchecked-hash /plugin/site-packages || true
COPY plugin /plugin
RUN python3 -I -S -m compileall -q --invalidation-mode unchecked-hash -x '^/plugin/site-packages/' /plugin || true

USER 65532:65532
WORKDIR /plugin
