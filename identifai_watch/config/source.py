"""The configuration's file: from its text to a ``Config`` and back."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from identifai_watch.config import written
from identifai_watch.config.folder import Folder
from identifai_watch.config.models import Config
from identifai_watch.config.overlaps import Labelled, overlaps
from identifai_watch.config.problems import told
from identifai_watch.config.values import Surroundings
from identifai_watch.errors import ConfigError


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in the file ``path``, with ``conf.d`` beside it and the environment.

    Raises:
        ConfigError: it cannot be read, or is wrong, with all its problems.
    """
    try:
        return checked(
            written.gather(path, environ), Surroundings(base=path.absolute().parent, environ=environ)
        )
    except ConfigError as error:
        raise ConfigError(error.problems, path) from error


def parse(text: str, base: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration that ``text`` alone says in TOML; its paths are relative to ``base``.

    Raises:
        ConfigError: with all problems at once, or with the place of the first mistake in the TOML itself.
    """
    return checked(written.alone(text), Surroundings(base=base, environ=environ))


def checked(found: written.Written, around: Surroundings) -> Config:
    """Return what was written as a configuration.

    Raises:
        ConfigError: with all problems at once.
    """
    try:
        config = Config.model_validate(found.document, context=around)
    except ValidationError as error:
        problems = [*told(error, found.labels, found.variables), *overlaps(_sound_folders(found, around))]
        raise ConfigError(problems) from error
    problems = overlaps(list(zip(found.labels, config.folders, strict=True)))
    if problems:
        raise ConfigError(problems)
    return config


def _sound_folders(found: written.Written, around: Surroundings) -> list[Labelled]:
    """Return the folders that are right by themselves, so that what is wrong between them is told as well."""
    sound: list[Labelled] = []
    for label, table in zip(found.labels, found.document["folder"] if found.labels else (), strict=True):
        try:
            sound.append((label, Folder.model_validate(table, context=around)))
        except ValidationError:
            continue  # told already
    return sound


def dump(document: Mapping[str, Any]) -> str:
    """Return ``document`` as TOML, for the file that ``init`` writes."""
    return tomli_w.dumps(document)
