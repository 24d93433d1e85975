// Keeping events and writing them. Events name plans by number; the profiler holds the plans as long as it holds their events, so
// what a step is gets looked up only when the trace is written.
#include "runtime/profiler.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/config.h"
#include "core/errors.h"
#include "runtime/report.h"

namespace fk::profiler {
namespace {

constexpr uint32_t kWhole = UINT32_MAX, kPrologue = UINT32_MAX - 1;

struct Event {
    int64_t begin, end;
    uint32_t plan;  // number of the plan; kWhole: a span, whose number is `step`
    uint32_t step;  // kWhole: the run of all steps; kPrologue: what went ahead of it
    uint32_t thread;
};

struct Span {
    std::string name, category;
};

struct State {
    std::mutex mutex;
    std::vector<Event> events;
    std::vector<std::shared_ptr<const Plan>> plans;
    std::unordered_map<const Plan*, uint32_t> plan_numbers;
    std::vector<Span> spans;
    size_t first = 0;  // of the events since `start`
    size_t limit = 0, process_limit = 0;
    uint64_t dropped = 0;
    bool started = false;
    pid_t process = 0;  // that FASTKERAS_PROFILE records: a forked child leaves the file to its parent
};

State& state() {
    static State s;
    return s;
}

uint32_t thread_number() {
    static std::atomic<uint32_t> next{1};
    thread_local const uint32_t number = next.fetch_add(1, std::memory_order_relaxed);
    return number;
}

bool keep(State& s, const Event& event) {
    if (s.events.size() >= std::max(s.started ? s.first + s.limit : 0, s.process_limit)) {
        ++s.dropped;
        return false;
    }
    s.events.push_back(event);
    return true;
}

// A JSON string.
std::string json(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (static_cast<unsigned char>(c) < 0x20) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", c);
            out += code;
        } else {
            out += c;
        }
    }
    return out += '"';
}

std::string json_list(const std::vector<std::string>& items) {
    std::string out = "[";
    for (const std::string& item : items) (out += out.size() > 1 ? "," : "") += json(item);
    return out += ']';
}

std::string number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", v);
    return text;
}

// The part of an event that is the same at every run.
struct StepText {
    std::string head, args;
    double operations = 0, bytes = 0;
};

std::vector<StepText> texts_of(const Plan& plan) {
    std::vector<StepText> out;
    for (const StepReport& r : report(plan)) {
        StepText t;
        t.head = concat("\"name\":", json(r.label.empty() ? r.op : r.op + " " + r.label), ",\"cat\":", json(r.kind));
        t.args = concat("\"implementation\":", json(r.implementation), ",\"inputs\":", json_list(r.inputs),
                        ",\"outputs\":", json_list(r.outputs));
        t.operations = r.cost.operations;
        t.bytes = r.cost.read + r.cost.written;
        out.push_back(std::move(t));
    }
    return out;
}

void write_event(std::ostream& out, const State& s, std::vector<std::vector<StepText>>& texts, const Event& e, int64_t zero) {
    out << ",\n{\"ph\":\"X\",\"pid\":" << getpid() << ",\"tid\":" << e.thread
        << ",\"ts\":" << static_cast<double>(e.begin - zero) / 1e3 << ",\"dur\":" << static_cast<double>(e.end - e.begin) / 1e3
        << ',';
    if (e.plan == kWhole) {
        out << "\"name\":" << json(s.spans[e.step].name) << ",\"cat\":" << json(s.spans[e.step].category) << '}';
        return;
    }
    const Plan& plan = *s.plans[e.plan];
    if (e.step == kWhole || e.step == kPrologue) {
        out << "\"name\":" << json((e.step == kWhole ? "run " : "prologue of ") + plan.name)
            << ",\"cat\":\"run\",\"args\":{\"plan\":" << e.plan << ",\"steps\":" << plan.steps.size()
            << ",\"arena_bytes\":" << plan.arena_bytes << "}}";
        return;
    }
    if (texts[e.plan].empty()) texts[e.plan] = texts_of(plan);
    const StepText& t = texts[e.plan][e.step];
    out << t.head << ",\"args\":{" << t.args << ",\"plan\":" << e.plan << ",\"step\":" << e.step;
    const auto nanoseconds = static_cast<double>(std::max<int64_t>(e.end - e.begin, 1));
    if (t.operations > 0) out << ",\"GFLOP/s\":" << number(t.operations / nanoseconds);
    out << ",\"GB/s\":" << number(t.bytes / nanoseconds) << "}}";
}

void write(const State& s, size_t first, const std::string& path) {
    std::vector<Event> events(s.events.begin() + static_cast<std::ptrdiff_t>(first), s.events.end());
    // What contains comes before what it contains.
    std::ranges::sort(events, [](const Event& a, const Event& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end > b.end : a.step > b.step;
    });
    std::ofstream out(path);
    out << std::fixed << std::setprecision(3) << "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"producer\":\"fastkeras " FK_VERSION
        << "\",\"dropped_events\":" << s.dropped << "},\n\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":" << getpid()
        << ",\"name\":\"process_name\",\"args\":{\"name\":\"fastkeras\"}}";
    std::vector<std::vector<StepText>> texts(s.plans.size());
    for (const Event& e : events) write_event(out, s, texts, e, events[0].begin);
    out << "\n]}\n";
    out.close();
    if (!out) fail<UserError>("cannot write the trace to '", path, "': ", std::strerror(errno));
}

void clear(State& s) {
    s.events = {};
    s.plans.clear();
    s.plan_numbers.clear();
    s.spans.clear();
    s.dropped = 0;
}

void write_at_exit() {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (s.process != getpid()) return;
    detail::recording = false;
    try {
        write(s, 0, config::text(config::Key::profile));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "fastkeras: %s\n", e.what());
    }
    clear(s);
}

}  // namespace

int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool started() {
    const std::lock_guard lock(state().mutex);
    return state().started;
}

void start(size_t max_events) {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (s.started) fail<UserError>("the profiler is running already; stop it before it is started again");
    s.started = true;
    s.first = s.events.size();
    s.limit = max_events;
    detail::recording = true;
}

void stop(const std::string& path) {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (!s.started) fail<UserError>("the profiler is not running; start it before it is stopped");
    s.started = false;
    const bool goes_on = s.process != 0;
    detail::recording = goes_on;
    struct Clear {  // also when the file cannot be written
        State* s;
        ~Clear() {
            if (s != nullptr) clear(*s);
        }
    } const after{goes_on ? nullptr : &s};
    if (!path.empty()) write(s, s.first, path);
}

void start_for_process() {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (s.process != 0) return;
    s.process = getpid();
    s.process_limit = kMaxEvents;
    std::atexit(write_at_exit);
    detail::recording = true;
}

void record_run(const Plan& plan, std::span<const int64_t> stamps, bool prologue) {
    const uint32_t thread = thread_number();
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (!enabled() || stamps.empty()) return;
    const auto [it, fresh] = s.plan_numbers.try_emplace(&plan, static_cast<uint32_t>(s.plans.size()));
    if (fresh) s.plans.push_back(plan.shared_from_this());
    keep(s, {stamps.front(), stamps.back(), it->second, prologue ? kPrologue : kWhole, thread});
    for (uint32_t i = 0; i + 1 < stamps.size(); ++i)
        if (stamps[i] != stamps[i + 1])  // steps of the prologue are no part of this run, or of that one
            keep(s, {stamps[i], stamps[i + 1], it->second, i, thread});
}

void record_span(std::string name, std::string category, int64_t begin, int64_t end) {
    const uint32_t thread = thread_number();
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (!enabled()) return;
    if (keep(s, {begin, end, kWhole, static_cast<uint32_t>(s.spans.size()), thread}))
        s.spans.push_back({std::move(name), std::move(category)});
}

}  // namespace fk::profiler
