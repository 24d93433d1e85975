// Graph -> Plan: runs the passes, picks a kernel for every node, places every value in memory.
//
// Memory: a value that is an output is written straight to the caller's buffer; an output that is a variable's new value
// may share the variable's buffer when every reader of the old value has run by then and no later kernel can still
// report bad data. Everything else gets an offset in one arena by its lifetime, sharing an operand's place where the
// kernel allows that.
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <unordered_map>

#include "core/config.h"
#include "core/errors.h"
#include "ops/op_def.h"
#include "runtime/arena.h"
#include "runtime/device.h"
#include "runtime/index_checks.h"
#include "runtime/plan.h"
#include "runtime/profiler.h"

namespace fk {
namespace {

std::unique_ptr<Kernel> make_kernel(const Device& device, const Graph& g, uint32_t at, Refusals& refusals) {
    const Node& n = g.node(at);
    if (n.region) return device.compile_region(*n.region);
    std::string reasons;
    const bool log = config::lists(config::Key::log, "impl");
    for (const Impl& impl : device.impls()) {
        if (impl.op != n.op->name) continue;
        std::string why = impl.match(g, n);
        if (why.empty()) {
            if (auto kernel = impl.make(g, n)) return kernel;
            why = "refused at creation";
        }
        if (log)
            std::fprintf(stderr, "fastkeras impl %s: %s refuses: %s\n", std::string(n.op->name).c_str(),
                         std::string(impl.name).c_str(), why.c_str());
        reasons += concat("; ", impl.name, ": ", why);
        refusals.push_back({std::string(n.op->name), std::string(impl.name), std::move(why), g.label(n.label), at});
    }
    std::string types;
    for (Value v : n.inputs) types += (types.empty() ? "" : ", ") + to_string(g.type(v));
    fail<UnsupportedError>("no implementation of ", n.op->name, "(", types, ") on ", device.name(), reasons);
}

class Planner {
  public:
    Planner(const Graph& original, const Device& device, Plan& plan)
        : device_(device),
          plan_(plan),
          inplace_(!config::lists(config::Key::disable_passes, "inplace") && !config::lists(config::Key::disable_passes, "all")) {
        plan.lowered = run_pipeline(original, device.impls(), &plan.timings, &plan.refusals);
        for (Value p : original.parameters()) plan.parameter_types.push_back(original.type(p));
        for (Value v : original.outputs) plan.output_types.push_back(original.type(v));
        plan.output_aliases = original.output_aliases;
        plan.output_aliases.resize(original.outputs.size(), -1);
    }

    void run() {
        timed("select_kernels", [&] { select(); });
        timed("plan_memory", [&] {
            split_prologue();
            if (inplace_) delay_writes();
            if (inplace_) advance_updates();
            place_outputs();
            place_rest();
            group_prologue();
            resolve();
        });
        timed("load_kernels", [&] {
            std::vector<Kernel*> kernels;
            for (const Step& s : plan_.steps) {
                kernels.push_back(s.kernel.get());
                plan_.repeatable = plan_.repeatable && s.kernel->repeatable();
            }
            device_.finish(kernels);
        });
    }

  private:
    template <class Stage>
    void timed(const char* name, Stage&& stage) {
        const int64_t start = profiler::now();
        stage();
        plan_.timings.push_back({name, static_cast<double>(profiler::now() - start) / 1e3, g().size(), start});
    }

    // One step before it has addresses; values are roots (never reshapes).
    struct Draft {
        std::unique_ptr<Kernel> kernel;
        std::vector<Value> in, out;
        std::vector<size_t> out_bytes;
        uint32_t node = UINT32_MAX;
        std::string op, label;
        std::vector<TensorType> types;  // of the operands, where there is no node
        bool reports = false;           // may find bad data,
        bool fallible = false;          // which no step before it has found
        bool steady = false;
        int32_t copy_to_output = -1;  // a final copy: its destination
    };

    [[nodiscard]] Value root(Value v) const {
        while (g().node(v).is("reshape")) v = g().node(v).inputs[0];
        return v;
    }
    [[nodiscard]] const Graph& g() const { return plan_.lowered; }

    void select() {
        for (uint32_t n = 0; n < g().size(); ++n) {
            const Node& node = g().node(n);
            if (node.is("parameter") || node.is("reshape")) continue;
            if (std::ranges::all_of(node.types, [](const TensorType& t) { return t.size() == 0; })) continue;
            Draft d;
            d.kernel = make_kernel(device_, g(), n, plan_.refusals);
            d.node = n;
            for (Value v : node.inputs) d.in.push_back(root(v));
            for (uint32_t i = 0; i < node.types.size(); ++i)
                d.out.push_back({n, i}), d.out_bytes.push_back(node.types[i].bytes());
            d.op = node.op->name;
            d.label = g().label(node.label);
            d.reports = may_report(node);
            d.fallible = d.reports && !checked_before(node);
            d.steady = node.steady;
            for (Prepared& form : std::exchange(d.kernel->prepared, {})) prepare(d, std::move(form));
            add_draft(std::move(d));
        }
    }

    // Whether a step before has looked at all indices that could make this one report anything: then the run has ended there.
    bool checked_before(const Node& node) {
        const auto check = index_check_of(g(), node);
        if (!check) return false;
        const bool known =
            checked_.contains(*check) || checked_.contains({check->indices, check->limit, false}) || holds_always(g(), *check);
        if (!known) checked_.insert(*check);
        return known;
    }

    void add_draft(Draft d) {
        for (Value v : d.out) writer_[v] = drafts_.size();
        drafts_.push_back(std::move(d));
    }
    // A value that no node of the graph stands for.
    Value unnamed() { return {UINT32_MAX - 1 - static_cast<uint32_t>(unnamed_++), 0}; }

    // A step that makes the form in which the reader wants an input.
    void prepare(Draft& reader, Prepared form) {
        Value& input = reader.in[static_cast<size_t>(form.input)];
        Draft d;
        d.kernel = std::move(form.kernel);
        d.in = {input};
        d.out = {input = unnamed()};
        d.out_bytes = {form.bytes};
        d.op = "prepare";
        d.label = reader.label;
        const Value stored = g().node(reader.node).inputs[static_cast<size_t>(form.input)];
        d.steady = g().steady(stored);
        d.types = {g().type(stored), {DType::u8, {static_cast<int64_t>(form.bytes)}}};
        add_draft(std::move(d));
    }

    // Which steps run ahead, as long as no steady parameter changes: those of steady values, unless what would have to be kept
    // for the others is larger than it is worth. They come first.
    void split_prologue() {
        constexpr size_t kSmall = 64 << 10;
        std::set<Value> read_later;
        for (Value v : g().outputs) read_later.insert(root(v));
        std::vector<uint8_t> ahead;
        for (const Draft& d : drafts_) ahead.push_back(d.steady && !d.reports);
        const auto pays = [&](const Draft& d, size_t o) {
            size_t read = 0;
            for (Value v : d.in) read += bytes_of(v);
            return !read_later.contains(d.out[o]) || d.out_bytes[o] <= std::max(kSmall, 2 * read);
        };
        const auto computed_later = [&](Value v) {
            const auto it = writer_.find(v);
            return it != writer_.end() && ahead[it->second] == 0;
        };
        // One that stays behind may take along those that it reads, which grow too large to keep, and those that read it.
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t i = drafts_.size(); i-- > 0;) {
                const Draft& d = drafts_[i];
                bool stays = std::ranges::any_of(d.in, computed_later);
                for (size_t o = 0; o < d.out.size(); ++o) stays = stays || !pays(d, o);
                if (ahead[i] != 0 && stays) ahead[i] = 0, changed = true;
                if (ahead[i] == 0) read_later.insert(d.in.begin(), d.in.end());
            }
        }
        prologue_ = static_cast<size_t>(std::ranges::count(ahead, 1));
        if (prologue_ == 0) return;
        std::vector<uint8_t> stays(ahead.size());
        for (size_t i = 0; i < ahead.size(); ++i) stays[i] = ahead[i] == 0 ? 1 : 0;
        reorder(stays);
        for (size_t i = 0; i < prologue_; ++i)
            for (size_t o = 0; o < drafts_[i].out.size(); ++o)
                if (const Value v = drafts_[i].out[o]; read_later.contains(v))
                    place_[v] = {Place::kept, kept_.take(drafts_[i].out_bytes[o])};
    }
    [[nodiscard]] size_t bytes_of(Value v) const {
        if (v.node < g().size()) return g().type(v).bytes();
        const Draft& d = drafts_[writer_.at(v)];
        return d.out_bytes[static_cast<size_t>(std::ranges::find(d.out, v) - d.out.begin())];
    }

    // Puts the drafts in ascending order of their keys; equal ones keep theirs.
    template <class Key>
    void reorder(const std::vector<Key>& keys) {
        std::vector<size_t> order(drafts_.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::ranges::stable_sort(order, {}, [&](size_t i) { return keys[i]; });
        std::vector<Draft> sorted;
        for (size_t i : order) sorted.push_back(std::move(drafts_[i]));
        drafts_ = std::move(sorted);
        for (size_t i = 0; i < drafts_.size(); ++i)
            for (Value v : drafts_[i].out) writer_[v] = i;
    }

    // Steps that give variables their new values go behind the last step that can still report bad data, unless that step
    // needs them: only there may they write in place.
    void delay_writes() {
        size_t end = drafts_.size();
        while (end > 0 && !drafts_[end - 1].fallible) --end;
        if (end == 0) return;
        std::vector<uint8_t> needed(end, 0), late(end, 0);
        for (size_t i = end; i-- > 0;)
            if (needed[i] || drafts_[i].fallible)
                for (Value v : drafts_[i].in)
                    if (const auto it = writer_.find(v); it != writer_.end()) needed[it->second] = 1;
        for (size_t k = 0; k < g().outputs.size(); ++k)
            if (const auto it = writer_.find(root(g().outputs[k])); it != writer_.end() && plan_.output_aliases[k] >= 0)
                if (it->second >= prologue_ && it->second < end && !drafts_[it->second].fallible)
                    late[it->second] = !needed[it->second];
        for (size_t i = 0; i < end; ++i)  // what reads a delayed value comes after it
            for (Value v : drafts_[i].in)
                if (const auto it = writer_.find(v); it != writer_.end() && late[it->second]) late[i] = 1;
        late.resize(drafts_.size(), 2);  // and nothing moves behind the end
        reorder(late);
    }

    // Steps that write variables come as early as what they read and overwrite allows, where nothing can fail any more: the
    // update of a weight finds the gradient in the cache, whose memory is then free. So do small steps, which updates wait for.
    void advance_updates() {
        constexpr size_t kSmall = 256;
        size_t first = drafts_.size();
        while (first > prologue_ && !drafts_[first - 1].fallible) --first;
        if (first == 0) first = 1;
        std::map<Value, std::vector<Value>> overwrites;  // new values -> the parameters they replace
        for (size_t k = 0; k < g().outputs.size(); ++k)
            if (const int32_t p = plan_.output_aliases[k]; p >= 0)
                overwrites[root(g().outputs[k])].push_back(g().parameters()[static_cast<size_t>(p)]);
        std::map<Value, std::vector<size_t>> readers;  // of parameters
        for (size_t i = 0; i < drafts_.size(); ++i)
            for (Value v : drafts_[i].in)
                if (!writer_.contains(v)) readers[v].push_back(i);
        std::vector<size_t> behind(drafts_.size());  // the step that each follows, in the order as it is now
        const auto earliest = [&](size_t i) {
            size_t at = first - 1;
            for (Value v : drafts_[i].in)
                if (const auto it = writer_.find(v); it != writer_.end()) at = std::max(at, behind[it->second]);
            for (Value v : drafts_[i].out)
                if (const auto it = overwrites.find(v); it != overwrites.end())
                    for (Value p : it->second)
                        for (size_t r : readers[p])
                            if (r != i) at = std::max(at, r < i ? behind[r] : i);
            return at;
        };
        for (size_t i = 0; i < drafts_.size(); ++i) {
            const Draft& d = drafts_[i];
            size_t bytes = 0;
            for (size_t b : d.out_bytes) bytes += b;
            const bool writes = std::ranges::any_of(d.out, [&](Value v) { return overwrites.contains(v); });
            behind[i] = i >= first && (writes || bytes <= kSmall) ? earliest(i) : i;
        }
        reorder(behind);
    }

    // The parameter that a value is, or -1.
    [[nodiscard]] int32_t parameter_index(Value v) const {
        return g().node(v).is("parameter") ? static_cast<int32_t>(std::get<int64_t>(g().node(v).attrs[0])) : -1;
    }

    // What decides where variables may be written, for the drafts as they are now.
    struct Readers {
        size_t last_fallible = 0;           // 0: before all steps, or the first
        std::map<Value, size_t> last_read;  // of parameters
        std::set<Value> returned;           // parameters that are outputs as well
    };
    [[nodiscard]] Readers find_readers() const {
        Readers r;
        for (size_t i = 0; i < drafts_.size(); ++i) {
            if (drafts_[i].fallible) r.last_fallible = i;
            for (Value v : drafts_[i].in)
                if (!writer_.contains(v)) r.last_read[v] = i;
        }
        for (Value v : g().outputs)
            if (const Value x = root(v); !writer_.contains(x)) r.returned.insert(x);
        return r;
    }

    // Whether the step may write its output over parameter `p` while it runs.
    [[nodiscard]] bool may_overwrite(const Readers& readers, size_t step, Value out, int32_t p) const {
        const Value parameter = g().parameters()[static_cast<size_t>(p)];
        if (readers.last_fallible > step || drafts_[step].fallible || readers.returned.contains(parameter)) return false;
        if (const auto it = readers.last_read.find(parameter); it != readers.last_read.end() && it->second > step) return false;
        const Draft& d = drafts_[step];
        for (size_t i = 0; i < d.in.size(); ++i)
            if (d.in[i] == parameter) {
                for (size_t o = 0; o < d.out.size(); ++o)
                    if (d.out[o] == out) {
                        if (!d.kernel->may_share(static_cast<int>(o), static_cast<int>(i))) return false;
                    }
                if (std::ranges::count(d.in, parameter) != 1) return false;
            }
        return true;
    }

    void place_outputs() {
        std::vector<Draft> copies;
        std::vector<size_t> order(g().outputs.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        const Readers readers = find_readers();
        for (size_t i : order) {
            const Value v = root(g().outputs[i]);
            const int32_t p = parameter_index(v), alias = plan_.output_aliases[i];
            const size_t bytes = plan_.output_types[i].bytes();
            if (bytes == 0) continue;
            const bool fresh = p < 0 && !place_.contains(v);
            if (fresh && (alias < 0 || (inplace_ && may_overwrite(readers, writer_.at(v), v, alias)))) {
                place_[v] = {Place::output, i};
                continue;
            }
            Draft d;
            d.kernel = device_.copy(bytes);
            d.in = {v};
            d.out_bytes = {bytes};
            d.op = "copy";
            d.types = {plan_.output_types[i], plan_.output_types[i]};
            d.copy_to_output = static_cast<int32_t>(i);
            copies.push_back(std::move(d));
        }
        // Copies that read a parameter run before those that overwrite one.
        std::ranges::stable_partition(
            copies, [&](const Draft& d) { return plan_.output_aliases[static_cast<size_t>(d.copy_to_output)] < 0; });
        for (size_t i = 0; i + 1 < copies.size(); ++i) check_copy_order(copies, i);
        for (Draft& d : copies) drafts_.push_back(std::move(d));
    }

    // Two variables that exchange their values would need a temporary; stage such copies through the arena.
    void check_copy_order(std::vector<Draft>& copies, size_t i) {
        const int32_t written = plan_.output_aliases[static_cast<size_t>(copies[i].copy_to_output)];
        if (written < 0) return;
        const Value parameter = g().parameters()[static_cast<size_t>(written)];
        for (size_t later = i + 1; later < copies.size(); ++later)
            if (copies[later].in[0] == parameter) {
                const Value staged = unnamed();
                Draft stage;
                stage.kernel = device_.copy(copies[later].out_bytes[0]);
                stage.in = {parameter};
                stage.out = {staged};
                stage.out_bytes = copies[later].out_bytes;
                stage.op = "copy";
                stage.types = copies[later].types;
                add_draft(std::move(stage));
                copies[later].in[0] = staged;
            }
    }

    void place_rest() {
        std::map<Value, size_t> last_use;
        for (size_t i = 0; i < drafts_.size(); ++i)
            for (Value v : drafts_[i].in) last_use[v] = i;
        std::map<Value, size_t> bytes;
        for (const Draft& d : drafts_)
            for (size_t o = 0; o < d.out.size(); ++o) bytes[d.out[o]] = d.out_bytes[o];
        Arena arena;
        for (size_t i = 0; i < drafts_.size(); ++i) {
            Draft& d = drafts_[i];
            std::set<Value> taken;
            for (size_t o = 0; o < d.out.size(); ++o) {
                const Value v = d.out[o];
                if (place_.contains(v)) continue;
                const auto shared = [&](size_t in) {
                    const Value x = d.in[in];
                    const auto it = place_.find(x);
                    return it != place_.end() && it->second.place == Place::arena && last_use[x] == i &&
                           aligned(bytes[x]) == aligned(bytes[v]) && !taken.contains(x) && std::ranges::count(d.in, x) == 1 &&
                           d.kernel->may_share(static_cast<int>(o), static_cast<int>(in));
                };
                size_t in = 0;
                while (inplace_ && in < d.in.size() && !shared(in)) ++in;
                if (inplace_ && in < d.in.size()) {
                    taken.insert(d.in[in]);
                    place_[v] = place_.at(d.in[in]);
                    continue;
                }
                place_[v] = {Place::arena, arena.take(bytes[v])};
            }
            const size_t scratch = d.kernel->scratch_bytes();
            scratch_.push_back(arena.take(scratch));
            arena.give(scratch_.back(), scratch);
            auto release = [&](Value v) {
                const auto it = place_.find(v);
                if (it != place_.end() && it->second.place == Place::arena && !taken.contains(v))
                    arena.give(it->second.at, bytes[v]);
            };
            std::set<Value> ended;
            for (Value v : d.in)
                if (last_use[v] == i && ended.insert(v).second) release(v);
            for (Value v : d.out)
                if (!last_use.contains(v) && place_[v].place == Place::arena) release(v);
        }
        plan_.arena_bytes = arena.top();
        plan_.kept_bytes = kept_.top();
    }

    // Steps of the prologue that share intermediate results form a group: if one has to run again, all have to.
    void group_prologue() {
        plan_.prologue = prologue_;
        std::vector<size_t> group(prologue_);
        const auto find = [&](size_t i) {
            while (group[i] != i) i = group[i] = group[group[i]];
            return i;
        };
        std::vector<std::set<uint32_t>> reads(prologue_);
        for (size_t i = 0; i < prologue_; ++i) {
            group[i] = i;
            for (Value v : drafts_[i].in) {
                if (const auto it = writer_.find(v); it != writer_.end()) group[find(it->second)] = find(i);
            }
        }
        std::set<uint32_t> all;
        for (size_t i = 0; i < prologue_; ++i)
            for (Value v : drafts_[i].in)
                if (v.node < g().size() && parameter_index(v) >= 0) {
                    const auto p = static_cast<uint32_t>(parameter_index(v));
                    reads[find(i)].insert(p);
                    all.insert(p);
                }
        plan_.prologue_parameters.assign(all.begin(), all.end());
        for (size_t i = 0; i < prologue_; ++i) {
            const std::set<uint32_t>& r = reads[find(i)];
            plan_.prologue_reads.emplace_back(r.begin(), r.end());
        }
    }

    void resolve() {
        auto operand = [&](Value v) -> Operand {
            if (const auto it = place_.find(v); it != place_.end()) return it->second;
            if (v.node < g().size() && parameter_index(v) >= 0)
                return {Place::parameter, static_cast<size_t>(parameter_index(v))};
            check_internal(v.node < g().size() && g().type(v).size() == 0, "a value has no place in memory");
            return {Place::arena, 0};
        };
        for (size_t i = 0; i < drafts_.size(); ++i) {
            Draft& d = drafts_[i];
            Step s;
            s.first_operand = static_cast<uint32_t>(plan_.operands.size());
            s.inputs = static_cast<uint32_t>(d.in.size());
            for (Value v : d.in) plan_.operands.push_back(operand(v));
            if (d.copy_to_output >= 0)
                plan_.operands.push_back({Place::output, static_cast<size_t>(d.copy_to_output)});
            else
                for (Value v : d.out) plan_.operands.push_back(operand(v));
            s.outputs = static_cast<uint32_t>(plan_.operands.size()) - s.first_operand - s.inputs;
            s.kernel = std::move(d.kernel);
            s.scratch = scratch_[i];
            s.node = d.node;
            s.op = std::move(d.op);
            s.label = std::move(d.label);
            s.types = std::move(d.types);
            if (d.fallible && s.kernel->checks()) plan_.checked = i + 1;
            plan_.steps.push_back(std::move(s));
        }
    }

    const Device& device_;
    Plan& plan_;
    bool inplace_;
    std::vector<Draft> drafts_;
    std::map<Value, size_t> writer_;
    std::set<IndexCheck> checked_;
    std::map<Value, Operand> place_;
    std::vector<size_t> scratch_;
    int unnamed_ = 0;
    size_t prologue_ = 0;  // the first drafts
    Arena kept_;
};

}  // namespace

std::shared_ptr<const Plan> compile(const Graph& g, std::string_view name, const Device& device) {
    const DeviceScope scope(device);  // kernels that are made of plans ask for it
    device.configure();
    if (config::flag(config::Key::profile)) profiler::start_for_process();
    const int64_t start = profiler::now();
    auto plan = std::make_shared<Plan>();
    plan->name = name;
    plan->device = &device;
    plan->timed = config::lists(config::Key::log, "run");
    Planner(g, device, *plan).run();
    if (config::lists(config::Key::log, "plan")) std::fprintf(stderr, "%s", plan->text().c_str());
    if (profiler::enabled()) {
        profiler::record_span(concat("compile ", name), "compile", start, profiler::now());
        for (const PassTiming& t : plan->timings)
            profiler::record_span(t.name, "pass", t.begin, t.begin + static_cast<int64_t>(t.microseconds * 1e3));
    }
    return plan;
}

}  // namespace fk
