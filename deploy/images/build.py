"""Builds one container image with buildah or podman: `python -m deploy.images.build inspector --variant cuda`.

    --base IMAGE    another Debian 12 than docker.io/library/debian:bookworm-slim, best by digest
    --wheels DIR    take every package from this folder and no index: python -m pip download --require-hashes -r LOCK -d DIR
    --tag NAME      default: line-inspector:VERSION-VARIANT, line-inspector-trainer:VERSION-VARIANT

Where there is no registry a base is made of Debian's packages: mmdebstrap --variant=minbase bookworm base.tar; podman import base.tar.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from deploy.local.broker import CHECKOUT

IMAGES = {"inspector": "line-inspector", "trainer": "line-inspector-trainer"}
VARIANTS = ("cpu", "cuda")
BUILDERS = ("buildah", "podman")
WHEELS = "/build/wheels-given"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one image; return the builder's exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", choices=IMAGES, help="which")
    parser.add_argument("--variant", choices=VARIANTS, default="cpu", help="build of torch")
    parser.add_argument("--base", metavar="IMAGE", help="Debian 12, best by digest")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="folder of all packages; no index is asked")
    parser.add_argument("--tag", metavar="NAME", help="name of the image")
    options = parser.parse_args(arguments)
    builder = next((path for name in BUILDERS if (path := shutil.which(name))), None)
    if builder is None:
        print("build: neither buildah nor podman is here: apt-get install buildah", file=sys.stderr)
        return 1
    tag = options.tag or f"{IMAGES[options.image]}:{version()}-{options.variant}"
    command = build_command(
        builder, options.image, variant=options.variant, tag=tag, base=options.base, wheels=options.wheels
    )
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def version() -> str:
    """Return the project's version."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build_command(
    builder: str, image: str, *, variant: str, tag: str, base: str | None = None, wheels: Path | None = None
) -> list[str]:
    """Return the command that builds an image in the checkout.

    HEALTHCHECK is no part of OCI's format, so images are of Docker's. The steps run in a chroot: it needs no runtime, and works inside a
    container and on machines that let no container have limits of its own.
    """
    command = [builder, "build", "--format", "docker", "--isolation", "chroot", "--layers"]
    command += ["--file", "deploy/images/Containerfile", "--tag", tag]
    command += ["--build-arg", f"IMAGE={image}", "--build-arg", f"VARIANT={variant}"]
    if base is not None:
        command += ["--build-arg", f"BASE={base}"]
    if wheels is not None:
        command += ["--volume", f"{wheels.resolve()}:{WHEELS}:ro"]
        command += ["--build-arg", f"PIP_FIND_LINKS={WHEELS}", "--build-arg", "PIP_NO_INDEX=1"]
    return [*command, "."]


if __name__ == "__main__":
    sys.exit(main())
