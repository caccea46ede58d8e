"""Grafana's dashboards of the inspector, written in Python and generated as JSON: `python -m deploy.grafana`."""
