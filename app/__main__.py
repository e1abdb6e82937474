"""`python -m app` is `maasctl`."""

from app.cli import main

if __name__ == "__main__":
    main()
