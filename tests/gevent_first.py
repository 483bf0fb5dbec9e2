"""gunicorn's configuration for gevent with `--preload`, which loads Django before the worker patches (docs/servers.md)."""

from gevent import monkey

monkey.patch_all()
