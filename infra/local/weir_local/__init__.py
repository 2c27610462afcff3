"""The compatibility layer between Weir and MiniStack.

MiniStack emulates the AWS services the stack is made of. Where it differs from AWS in a way Weir depends on, a module in
``weir_local.patches`` corrects it in the running process: one module per difference, its docstring naming the difference and
what AWS does. Start it with ``python -m weir_local``.
"""

#: The only MiniStack version the patches were written and tested against: they replace private functions.
MINISTACK_VERSION = "1.5.33"
