"""Records of finished operations and their receivers: logs, metrics, signals."""
