#!/usr/bin/env bash
# Builds the engine into build/ and puts the module, its stub and oneDNN beside the Python sources, so that
# PYTHONPATH=python works. Needs a Python with nanobind and onednn-devel-cpu-gomp installed, cmake and ninja.
#   PYTHON=.venv/bin/python tools/dev_build.sh [more cmake arguments, e.g. -DFASTKERAS_BUILD_TESTS=ON]
# BUILD_DIR (build), BUILD_TYPE (Release) and JOBS (the machine's cores) may be set too.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=${BUILD_DIR:-build}
bin=$(dirname "$(command -v "$python")")
export PATH="$bin:$PATH"  # cmake and ninja of that environment first

mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE="${BUILD_TYPE:-Release}" -DPython_EXECUTABLE="$(command -v "$python")" \
    "$@" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" -j "${JOBS:-$(nproc)}"
# A copy with the run path of an installed module: it finds the oneDNN beside it.
cmake --install "$build" --prefix "$build/stage" >/dev/null
# Replaced, not overwritten: a process that has the old module loaded keeps it.
cp --remove-destination "$build"/stage/fastkeras/{_engine*,libdnnl.so.3} python/fastkeras/
