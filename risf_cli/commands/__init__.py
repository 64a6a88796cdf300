"""One file per command, loaded when that command is called."""
