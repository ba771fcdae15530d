"""`python -m api.cli`: the same as `elicence`."""

from api.cli.main import main

main()
