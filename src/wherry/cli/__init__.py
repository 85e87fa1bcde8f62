"""The command line: one file per command in `wherry.cli.commands`, loaded on use.

`main` finds the command and words the errors, `parser` reads options as Docker's client does, `help` writes help texts.
`run` is measured in milliseconds, so `main`, `parser` and `commands.run` import nothing else of this package.
"""
