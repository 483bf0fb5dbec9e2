"""Settings that can be the path of a YAML or JSON file."""

from __future__ import annotations

from pathlib import Path

from ..documents.yaml_reader import YamlError, read_yaml
from ..errors import ConfigurationError


def document_in(path: Path, setting: str) -> object:
    """Return the document in a file, for the setting that names it. Raises `ConfigurationError`."""
    try:
        return read_yaml(path.read_text("utf-8")).value
    except OSError as error:
        raise ConfigurationError(f"{setting}: the file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: the file is not UTF-8") from None
    except YamlError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    except ValueError:
        raise ConfigurationError(f"{setting}: the path contains a null character; remove it") from None
