// The public C++ API of the engine: record with GraphBuilder, compile, run a Program. No Python is involved.
#pragma once

#include "fastkeras/graph.h"
#include "fastkeras/profiler.h"
#include "fastkeras/program.h"
#include "fastkeras/types.h"
