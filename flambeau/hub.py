"""Weights and models by address. PyTorch's torch.hub.

Downloads go to a temporary name, are checked against the hash where one is known, and are renamed.
Code of a repository runs only where the caller says trust_repo=True, or names a local folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from flambeau.config import TORCH_HOME

__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
"""The first digits of the SHA-256 in names such as resnet18-5c106cde.pth."""

_BLOCK = 1 << 20
_folder: Path | None = None


def _get_torch_home() -> str:
    return str(TORCH_HOME)


def get_dir() -> str:
    """The folder of downloads: what set_dir said, or $TORCH_HOME/hub."""
    return str(_folder) if _folder is not None else str(TORCH_HOME / "hub")


def set_dir(d: Any) -> None:
    """Use this folder for downloads."""
    global _folder
    _folder = Path(d).expanduser()


def download_url_to_file(
    url: str, dst: Any, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Download to the path `dst`.

    Raises RuntimeError where the SHA-256 does not begin with `hash_prefix`, urllib's errors where
    the address cannot be read; `dst` is written only when all is there and right.
    """
    target = Path(dst)
    request = urllib.request.Request(
        url, headers={"User-Agent": "flambeau.hub"}
    )  # the caller's address
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    temporary = Path(name)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(request) as source, open(handle, "wb") as file:
            while block := source.read(_BLOCK):
                file.write(block)
                digest.update(block)
        found = digest.hexdigest()
        if hash_prefix and not found.startswith(hash_prefix):
            raise RuntimeError(
                f'invalid hash value (expected "{hash_prefix}", got "{found}") of {url}'
            )
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """torch.load of a file that is downloaded once and kept in `model_dir` (checkpoints).

    `check_hash`: the name carries the first digits of the SHA-256 (HASH_REGEX).
    What files may hold: torch.load.
    """
    from flambeau.serialization import load as load_file

    folder = Path(model_dir) if model_dir is not None else Path(get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name or Path(urlparse(url).path).name
    if not name or Path(name).name != name:
        raise ValueError(f"load_state_dict_from_url: {name!r} is not a file name; give file_name=")
    cached = folder / name
    if not cached.exists():
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, cached, found.group(1) if found else None, progress)
    return load_file(cached, map_location=map_location, weights_only=weights_only)


# models from repositories -------------------------------------------------------------------------


def load(
    repo_or_dir: str,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: bool | str | None = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What the function `model` of the repository's hubconf.py returns.

    source="local": `repo_or_dir` is a folder. source="github": it is owner/name or owner/name:ref,
    which is downloaded, and trust_repo=True must say that its code may run (RuntimeError).
    """
    module = _hubconf(repo_or_dir, source, trust_repo, force_reload)
    return _entry(module, model)(*args, **kwargs)


def list(  # noqa: A001  # PyTorch's name
    github: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = None,
    verbose: bool = True,
    source: str = "github",
) -> Any:
    """The names of the functions that a repository's hubconf.py offers."""
    module = _hubconf(github, source, trust_repo, force_reload)
    return [
        name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
    ]


def help(  # noqa: A001  # PyTorch's name
    github: str,
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = None,
    source: str = "github",
) -> Any:
    """The docstring of a function of a repository's hubconf.py."""
    return _entry(_hubconf(github, source, trust_repo, force_reload), model).__doc__


def _entry(module: ModuleType, model: str) -> Any:
    found = getattr(module, model, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def _hubconf(where: str, source: str, trust: bool | str | None, force_reload: bool) -> ModuleType:
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    folder = (
        Path(where).expanduser() if source == "local" else _repository(where, trust, force_reload)
    )
    path = folder / "hubconf.py"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: a hub repository has a hubconf.py")
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("hubconf", path)
        assert spec is not None  # it is a Python file
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    missing = [
        each
        for each in getattr(module, "dependencies", [])
        if importlib.util.find_spec(each) is None
    ]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _repository(where: str, trust: bool | str | None, force_reload: bool) -> Path:
    """The folder of a GitHub repository, downloaded where it is not there yet."""
    if trust is not True:
        raise RuntimeError(
            f"torch.hub would download and run the code of {where}. Look at it, then say "
            "trust_repo=True; nothing of the net runs here without that."
        )
    name, _, ref = where.partition(":")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"expected owner/name or owner/name:ref, got {where!r}")
    folder = Path(get_dir()) / f"{name}_{ref or 'default'}".replace("/", "_")
    if folder.exists() and not force_reload:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "repository.zip"
        address = f"https://github.com/{name}/zipball/{urllib.parse.quote(ref or 'HEAD')}"
        download_url_to_file(address, archive)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(Path(temporary) / "content")
        (root,) = (Path(temporary) / "content").iterdir()
        shutil.rmtree(folder, ignore_errors=True)
        root.rename(folder)
    return folder
