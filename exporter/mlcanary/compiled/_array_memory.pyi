"""Memory of numpy's arrays from the C library; see array_memory.c."""

SOURCE: str
"""SHA-256 of the file that this was compiled from."""

def use(table: object, /) -> bool:
    """Have arrays of this context take their memory from the C library from now on; False for a numpy without that.

    `table`: numpy's table of functions, `_ARRAY_API`. Raises ValueError for anything else.
    """
