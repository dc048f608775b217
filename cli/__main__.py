"""`python -m cli` is `tidegate`."""

from cli.main import main

main()
