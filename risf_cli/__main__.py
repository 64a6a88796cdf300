"""`python -m risf_cli` is `risf`: the form that torchrun starts."""

from risf_cli.app import main

main()
