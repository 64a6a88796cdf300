"""The command line of risf: words, options, tables and progress; every piece of work is done by risf_core."""
