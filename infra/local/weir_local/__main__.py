"""Start MiniStack with every patch applied. Takes MiniStack's own environment variables and arguments."""

import sys
from importlib.metadata import PackageNotFoundError, version

from weir_local import MINISTACK_VERSION


def check_version() -> None:
    """Exit with an explanation unless the installed MiniStack is the one the patches were written for."""
    try:
        found = version("ministack")
    except PackageNotFoundError:
        sys.exit(f"weir_local: MiniStack is not installed here; install ministack[full]=={MINISTACK_VERSION}")
    if found != MINISTACK_VERSION:
        sys.exit(
            f"weir_local: found MiniStack {found}, but the patches were written for {MINISTACK_VERSION} and replace private "
            f"functions of it. Install ministack[full]=={MINISTACK_VERSION}, or move the pin and run the smoke tests."
        )


def main() -> None:
    """Check the version, apply the patches, run MiniStack in the foreground."""
    check_version()
    from weir_local import patches

    patches.apply_all()
    from ministack import app

    app.main()


if __name__ == "__main__":
    main()
