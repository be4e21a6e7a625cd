#!/usr/bin/env bash
# Makes the virtual environment $1 with the first supported Python on PATH, and pip in it.
set -euo pipefail

venv=$1
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'

if [[ -x $venv/bin/python ]] && "$venv/bin/python" -c "$supported" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  exit 0
fi

for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3; do
  # A name may be a version manager's shim for a Python that is not there, so it has to answer.
  if [[ -n $candidate ]] && "$candidate" -c "$supported" 2>/dev/null; then
    if "$candidate" -m venv "$venv" && "$venv/bin/python" -m pip --version >/dev/null; then
      exit 0
    fi
    rm -rf "$venv"
    echo "$candidate can't make a virtual environment: install its venv package (Debian: python3-venv) and run make again." >&2
    exit 1
  fi
done

echo "Leverframe needs Python 3.11, 3.12, 3.13 or 3.14, and none is on PATH. Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2
exit 1
