"""Programs: thin, and the only place that knows flags."""
