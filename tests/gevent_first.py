"""gunicorn's configuration for gevent with `--preload`, which loads Django before the worker patches."""

from gevent import monkey

monkey.patch_all()
