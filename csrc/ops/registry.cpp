// The one list of ops, collected from the families on first use.
#include <memory>
#include <unordered_map>

#include "core/errors.h"
#include "ops/families.h"

namespace fk {
namespace {

struct Registry {
    std::vector<std::unique_ptr<OpDef>> owned;
    std::vector<const OpDef*> list;
    std::unordered_map<std::string_view, const OpDef*> by_name;

    Registry() {
        for (auto family :
             {families::elementwise, families::activations, families::structure, families::reductions, families::indexing,
              families::linalg, families::control, families::convolution, families::normalization, families::losses,
              families::random, families::optimization, families::attention})
            for (OpDef& op : family()) {
                owned.push_back(std::make_unique<OpDef>(std::move(op)));
                list.push_back(owned.back().get());
                check_internal(by_name.emplace(list.back()->name, list.back()).second, "op ", list.back()->name,
                               " is declared twice");
            }
    }
};

const Registry& registry() {
    static const Registry r;
    return r;
}

}  // namespace

int OpDef::attr_index(std::string_view attr) const {
    for (size_t i = 0; i < attrs.size(); ++i)
        if (attrs[i].name == attr) return static_cast<int>(i);
    return -1;
}

bool may_report(const Node& node) {
    if (node.op->checks_indices) return true;
    for (const auto& body : node.bodies())
        for (uint32_t i = 0; i < body->size(); ++i)
            if (may_report(body->node(i))) return true;
    return false;
}

const OpDef* find_op(std::string_view name) {
    const auto it = registry().by_name.find(name);
    return it == registry().by_name.end() ? nullptr : it->second;
}

const OpDef& get_op(std::string_view name) {
    const OpDef* op = find_op(name);
    check_internal(op != nullptr, "op ", name, " is not declared");
    return *op;
}

std::span<const OpDef* const> all_ops() { return registry().list; }

}  // namespace fk
