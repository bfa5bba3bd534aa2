"""A rough drawing of the dashboards, for eyes where no Grafana is: `preview.py` uses it."""
