"""
The command `nettool`: one file for each of its subcommands.

In: words, standard input.  Out: text, an exit status of sysexits.h.  Never: a node of its own; that is twistd's.
"""
