// The op families that the registry collects; one source file each.
#pragma once

#include <vector>

#include "ops/op_def.h"

namespace fk::families {

std::vector<OpDef> elementwise();  // the scalar primitives, from ir/prims.def
std::vector<OpDef> activations();
std::vector<OpDef> structure();
std::vector<OpDef> reductions();
std::vector<OpDef> indexing();
std::vector<OpDef> linalg();
std::vector<OpDef> control();
std::vector<OpDef> convolution();
std::vector<OpDef> normalization();
std::vector<OpDef> losses();
std::vector<OpDef> random();
std::vector<OpDef> optimization();
std::vector<OpDef> attention();

}  // namespace fk::families
