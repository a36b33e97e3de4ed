"""One rollback target per file, behind the contract of `contract.py`; `registry.py` lists them."""
