"""`python -m app` is `maasctl`."""

from app.cli import main

main()
