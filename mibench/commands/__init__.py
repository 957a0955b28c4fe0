"""The commands of the command line, one file each; `mibench.cli` gathers them."""
