"""The bundled stack: Prometheus and Grafana as managed containers, `up --monitoring`."""
