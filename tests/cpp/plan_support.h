// Running plans the way the runtime does: variables updated where they are, cached plans with their further parameters.
#pragma once

#include "graph_support.h"
#include "runtime/plan_cache.h"

namespace fk::test {

// Runs with each aliased output given its parameter's memory, as the executor does; returns all outputs.
struct InPlaceRun {
    std::vector<Array> parameters, outputs;
    std::string error;

    InPlaceRun(const Plan& plan, std::vector<Array> in) : parameters(std::move(in)) {
        std::vector<const void*> from;
        std::vector<void*> to;
        for (const Array& a : parameters) from.push_back(a.buffer.data);
        for (const TensorType& t : plan.output_types) outputs.emplace_back(t);
        for (size_t i = 0; i < outputs.size(); ++i) {
            const int32_t alias = plan.output_aliases[i];
            to.push_back(alias >= 0 ? parameters[static_cast<size_t>(alias)].buffer.data : outputs[i].buffer.data);
        }
        try {
            plan.run(from.data(), to.data());
        } catch (const UserError& e) {
            error = e.what();
        }
        for (size_t i = 0; i < outputs.size(); ++i)
            if (const int32_t alias = plan.output_aliases[i]; alias >= 0) outputs[i] = parameters[static_cast<size_t>(alias)];
    }
};

// Runs what the cache gives for `g`.
inline std::vector<Array> run_cached(const CachedPlan& cached, std::vector<Array> inputs) {
    for (const CachedPlan::Scalar& s : cached.scalars) {
        const TensorType& t = cached.plan->parameter_types.at(inputs.size());
        inputs.emplace_back(t);
        std::memcpy(inputs.back().buffer.data, s.data(), inputs.back().buffer.size);
    }
    REQUIRE(inputs.size() == cached.plan->parameter_types.size());
    return run_plan(*cached.plan, inputs);
}

}  // namespace fk::test
