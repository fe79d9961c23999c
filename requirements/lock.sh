#!/bin/sh
# Writes the locked requirements beside this file. Run by `make lock`; UV names the uv to use.
set -eu
cd "$(dirname "$0")/.."

compile() {
    "$UV" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url "$@"
}

compile ${UPGRADE:+--upgrade} pyproject.toml --extra embedded --extra test --group build -o requirements/test.txt
compile pyproject.toml --extra embedded -c requirements/test.txt -o requirements/embedded.txt
compile pyproject.toml -c requirements/test.txt -o requirements/base.txt
compile --group lint -c requirements/test.txt -o requirements/lint.txt
compile --group lock -o requirements/lock.txt
