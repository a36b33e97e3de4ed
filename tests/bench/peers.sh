#!/bin/sh
# Installs what `peers.py` compares with, into a folder that git ignores: 1 GB, some minutes. Safe to run again.
# evidently 0.7 does not import with pandas 3.
set -eu
cd "$(dirname "$0")/../.."
peers=.cache/bench
[ -x "$peers/evidently/bin/pip" ] || "${PYTHON:-python3}" -m venv "$peers/evidently"
"$peers/evidently/bin/pip" install --quiet --disable-pip-version-check 'evidently==0.7.23' 'pandas<3'
command -v mtail >/dev/null 2>&1 || echo "mtail is missing: sudo apt-get install --no-install-recommends mtail" >&2
