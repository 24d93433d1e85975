// Region building. `Access` tells, for each dimension of a value, which linear combination of loop coordinates reads it;
// broadcasts, transposes, slices and reversals only transform the access, so they cost nothing.
#include "passes/fuse_region.h"

#include <algorithm>

#include "core/errors.h"
#include "ops/op_def.h"

namespace fk {
namespace {

struct Access {
    std::vector<Dims> mult;  // per dimension of the value: factor of each loop coordinate
    Dims offset;
    bool operator==(const Access&) const = default;
};

Access identity(size_t rank) {
    Access a{std::vector<Dims>(rank, Dims(rank, 0)), Dims(rank, 0)};
    for (size_t i = 0; i < rank; ++i) a.mult[i][i] = 1;
    return a;
}

// Adds factor * (dimension `d` of `a`) to dimension `to` of `out`.
void add_scaled(Access& out, size_t to, const Access& a, size_t d, int64_t factor) {
    for (size_t k = 0; k < a.mult[d].size(); ++k) out.mult[to][k] += factor * a.mult[d][k];
    out.offset[to] += factor * a.offset[d];
}

class Builder {
  public:
    Builder(const FusionState& s, const std::vector<uint32_t>& roots, size_t loops)
        : s_(s), g_(*s.g), roots_(roots), loops_(loops) {}

    // The instruction that computes value `v` read through `a`, or -1 when that is not possible in this region.
    int32_t emit(Value v, const Access& a) {
        const bool mine = s_.origin[v.node] == Origin::root && std::ranges::find(roots_, v.node) != roots_.end();
        if (s_.origin[v.node] == Origin::external || (s_.origin[v.node] == Origin::root && !mine)) return load(v, a);
        if (mine && is_reduction(g_.node(v))) return -1;  // its value exists only after the loop
        const Node& n = g_.node(v);
        if (mine && a != identity(loops_)) return -1;
        std::vector<int64_t> key{v.node};
        for (const Dims& m : a.mult) key.insert(key.end(), m.begin(), m.end());
        key.insert(key.end(), a.offset.begin(), a.offset.end());
        if (const auto it = memo_.find(key); it != memo_.end()) return it->second;
        const int32_t id = compute(n, a);
        memo_.emplace(std::move(key), id);
        return id;
    }

    BuiltRegion out;

  private:
    Access empty(size_t rank) const { return {std::vector<Dims>(rank, Dims(loops_, 0)), Dims(rank, 0)}; }

    int32_t push(RegionInstr instr) {
        out.region.code.push_back(instr);
        return static_cast<int32_t>(out.region.code.size() - 1);
    }

    int32_t input(Value v, Dims strides, int64_t offset) {
        const DType t = g_.type(v).dtype;
        for (size_t i = 0; i < out.inputs.size(); ++i)
            if (out.inputs[i] == v && out.region.inputs[i].strides == strides && out.region.inputs[i].offset == offset)
                return static_cast<int32_t>(i);
        out.inputs.push_back(v);
        out.region.inputs.push_back({t, std::move(strides), offset});
        return static_cast<int32_t>(out.inputs.size() - 1);
    }

    // Row-major position in a value of these dims, as strides over the loops.
    RegionIndex linear(const Dims& dims, const Access& a) const {
        const Dims step = row_major_strides(dims);
        RegionIndex index{Dims(loops_, 0), 0};
        for (size_t d = 0; d < dims.size(); ++d) {
            for (size_t k = 0; k < loops_; ++k) index.strides[k] += step[d] * a.mult[d][k];
            index.offset += step[d] * a.offset[d];
        }
        return index;
    }

    int32_t load(Value v, const Access& a) {
        RegionIndex at = linear(g_.type(v).dims, a);
        const int32_t i = input(v, std::move(at.strides), at.offset);
        for (size_t k = 0; k < out.region.code.size(); ++k)
            if (out.region.code[k].op == RegionOp::load && out.region.code[k].index == i) return static_cast<int32_t>(k);
        return push({.op = RegionOp::load, .dtype = g_.type(v).dtype, .index = i});
    }

    int32_t index_register(RegionIndex at) {
        out.region.indices.push_back(std::move(at));
        return push({.op = RegionOp::index, .dtype = DType::i64, .index = static_cast<int32_t>(out.region.indices.size() - 1)});
    }

    int32_t compute(const Node& n, const Access& a) {
        const DType t = n.types[0].dtype;
        if (n.op->kind == OpKind::prim) {
            RegionInstr instr{.op = RegionOp::prim, .prim = n.op->prim, .dtype = t};
            for (size_t i = 0; i < n.inputs.size(); ++i)
                if ((instr.src[i] = emit(n.inputs[i], a)) < 0) return -1;
            return push(instr);
        }
        if (n.is("full")) {
            const double value = std::get<double>(n.attrs[0]);
            return push(
                {.op = RegionOp::constant, .dtype = t, .imm = value, .int_imm = is_float(t) ? 0 : static_cast<int64_t>(value)});
        }
        if (n.is("iota")) {
            const auto axis = static_cast<size_t>(normalize_axis(n.int_attr("axis"), n.types[0].rank()));
            const int32_t i = index_register({a.mult[axis], a.offset[axis]});
            return t == DType::i64 ? i : push({.op = RegionOp::prim, .prim = Prim::cast, .dtype = t, .src = {i, -1, -1}});
        }
        if (n.is("random_bits")) {
            const int32_t i = index_register(linear(n.types[0].dims, a));
            return push({.op = RegionOp::philox,
                         .dtype = DType::u32,
                         .src = {i, -1, -1},
                         .index = input(n.inputs[0], Dims(loops_, 0), 0)});
        }
        const Dims &from = g_.type(n.inputs[0]).dims, &to = n.types[0].dims;
        Access inner = empty(from.size());
        if (n.is("broadcast_to")) {
            const size_t lead = to.size() - from.size();
            for (size_t d = 0; d < from.size(); ++d)
                if (from[d] != 1) add_scaled(inner, d, a, d + lead, 1);
        } else if (n.is("transpose")) {
            const Dims& perm = n.dims_attr("perm");
            for (size_t d = 0; d < to.size(); ++d) add_scaled(inner, static_cast<size_t>(perm[d]), a, d, 1);
        } else if (n.is("slice")) {
            for (size_t d = 0; d < from.size(); ++d) {
                add_scaled(inner, d, a, d, n.dims_attr("step")[d]);
                inner.offset[d] += n.dims_attr("start")[d];
            }
        } else if (n.is("reverse")) {
            std::vector<bool> flip(from.size(), false);
            for (int64_t axis : n.dims_attr("axes"))
                flip[static_cast<size_t>(normalize_axis(axis, static_cast<int>(from.size())))] = true;
            for (size_t d = 0; d < from.size(); ++d) {
                add_scaled(inner, d, a, d, flip[d] ? -1 : 1);
                if (flip[d]) inner.offset[d] += from[d] - 1;
            }
        } else if (n.is("reshape")) {
            // Each operand dimension is the row-major number of the result dimensions it splits into.
            size_t d = 0;
            for (size_t e = 0; e < from.size(); ++e) {
                if (from[e] == 1) continue;
                int64_t rest = from[e];
                while (rest > 1) {
                    if (to[d] != 1) {
                        rest /= to[d];
                        add_scaled(inner, e, a, d, rest);
                    }
                    ++d;
                }
            }
        } else {
            fail<InternalError>("fuse does not know how to inline ", n.op->name);
        }
        return emit(n.inputs[0], inner);
    }

    const FusionState& s_;
    const Graph& g_;
    const std::vector<uint32_t>& roots_;
    size_t loops_;
    std::map<std::vector<int64_t>, int32_t> memo_;
};

ReduceKind reduce_kind(const Node& n) {
    if (n.is("reduce_sum")) return ReduceKind::sum;
    if (n.is("reduce_prod")) return ReduceKind::prod;
    return n.is("reduce_max") ? ReduceKind::max : ReduceKind::min;
}

}  // namespace

bool is_reduction(const Node& n) { return n.op->kind == OpKind::structural && n.op->name.starts_with("reduce_"); }

const Dims& space_of(const Graph& g, uint32_t root) {
    const Node& n = g.node(root);
    return is_reduction(n) ? g.type(n.inputs[0]).dims : n.types[0].dims;
}

std::vector<bool> reduced_mask(const Graph& g, uint32_t root) {
    const Dims& space = space_of(g, root);
    std::vector<bool> mask(space.size(), false);
    const Node& n = g.node(root);
    if (is_reduction(n))
        for (int64_t a : n.dims_attr("axes")) mask[static_cast<size_t>(normalize_axis(a, static_cast<int>(space.size())))] = true;
    return mask;
}

bool reshape_is_linear(const Dims& from, const Dims& to) {
    size_t d = 0;
    for (int64_t size : from) {
        int64_t rest = size;
        while (rest > 1) {
            if (d >= to.size() || to[d] == 0 || rest % to[d] != 0) return false;
            rest /= to[d++];
        }
    }
    return true;
}

std::optional<BuiltRegion> build_region(const FusionState& s, const std::vector<uint32_t>& roots,
                                        const std::vector<uint8_t>& store) {
    const Graph& g = *s.g;
    const Dims space = space_of(g, roots[0]);
    Builder b(s, roots, space.size());
    b.out.region.reduced.assign(space.size(), false);
    bool have_mask = false;
    for (size_t r = 0; r < roots.size(); ++r) {
        const Node& n = g.node(roots[r]);
        const bool reduction = is_reduction(n);
        const int32_t src = b.emit(reduction ? n.inputs[0] : Value{roots[r], 0}, identity(space.size()));
        if (src < 0) return std::nullopt;
        if (reduction) {
            std::vector<bool> mask = reduced_mask(g, roots[r]);
            if (have_mask && mask != b.out.region.reduced) return std::nullopt;
            b.out.region.reduced = std::move(mask);
            have_mask = true;
        }
        if (!store[r]) continue;
        b.out.region.outputs.push_back({n.types[0].dtype, src, reduction, reduction ? reduce_kind(n) : ReduceKind::sum});
        b.out.stored.push_back(roots[r]);
    }
    b.out.region.space = space;
    if (space.empty()) {  // a scalar is one point
        b.out.region.space = {1};
        b.out.region.reduced = {false};
        for (RegionInput& in : b.out.region.inputs) in.strides = {0};
        for (RegionIndex& i : b.out.region.indices) i.strides = {0};
    }
    return std::move(b.out);
}

}  // namespace fk
