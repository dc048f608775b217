"""`python -m gateway`: the gateway as `TIDEGATE_*` describes it. Exit code 0 after SIGTERM, 3 without its servers."""

import sys

import uvloop

from gateway.server import serve
from infra.logs import configure
from infra.settings import Settings
from infra.tokens import checked_secret

USAGE = 2
DEPENDENCY_DOWN = 3


def main() -> int:
    """Serve until told to stop."""
    settings = Settings()
    configure(settings)
    try:
        checked_secret(settings.jwt_secret.get_secret_value())
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    return 0 if uvloop.run(serve(settings)) else DEPENDENCY_DOWN


if __name__ == "__main__":
    sys.exit(main())
