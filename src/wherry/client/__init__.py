"""An engine somewhere else, over Docker's Engine API: what `wherry -H` and `wherry --context` speak to.

`Remote` is to the functions here what `wherry.engine.engine.Engine` is to the use cases: a verb of the engine has here
a function with the same parameters and the same result (`verbs`), so that a command is written once.
"""
