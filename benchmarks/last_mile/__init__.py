"""The last mile at full resolution against what people run today: `python -m benchmarks.last_mile`."""
