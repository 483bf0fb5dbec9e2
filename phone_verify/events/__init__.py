"""Records of finished operations, and what can receive them: logs, metrics, signals."""
