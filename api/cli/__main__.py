"""`elicence`, and `python -m api.cli`: where the command begins.

The module is loaded again by every process that a service with several of them starts (multiprocessing runs the main
module of the first one anew); so it names nothing that takes long to load.
"""


def main() -> None:
    """Run the command line."""
    from api.cli.main import app

    app()


if __name__ == "__main__":
    main()
