"""One module per command.  Each has a ``COMMAND`` (`wherry.cli.parser.Command`) and ``main(call) -> exit status``."""
