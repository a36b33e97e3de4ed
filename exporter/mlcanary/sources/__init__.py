"""Where log lines come from, one source per file behind `contract.Source`, and where their positions are kept.

`files` follows paths and globs; each path is a `tail` through the `generation`s of its content, which `history`
finds again under the names of `rotation`. `checkpoint` is the durable state.
"""
