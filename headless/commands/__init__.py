"""One module for each command of `python -m headless`; each has a function `main(argv)` that gives the exit code."""
