// Recording: the one way anything runs. An op on tensors appends a node to a recorder's graph; the graph is compiled
// (or found in the cache) and run when a value is asked for, or becomes an Executable when it was traced.
//
// Start reading at `record`. A thread has one lazy recorder; `Trace` puts another recorder on top of it for a while.
// executable.h holds compiled traces, tape.h gradients, control.h loops and branches.
// All functions here are called with the host language's lock held; only running a plan releases it (host.h).
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "runtime/plan.h"

namespace fk {

class Recorder;
struct TensorImpl;
struct CellImpl;
using TensorPtr = std::shared_ptr<TensorImpl>;
using CellPtr = std::shared_ptr<CellImpl>;
using RecorderPtr = std::shared_ptr<Recorder>;

// A run in progress whose results other threads may wait for.
class Flight {
  public:
    void land(std::exception_ptr error);
    [[nodiscard]] bool succeeded();  // is over, without an error
    void wait();                     // releases the host lock meanwhile; rethrows what the run threw
  private:
    std::mutex mutex_;
    std::condition_variable landed_;
    bool done_ = false;
    std::exception_ptr error_;
};

// An immutable tensor: in memory (`buffer`), being computed (`flight`), or pending in a recorder.
struct TensorImpl {
    TensorType type;
    BufferPtr buffer;
    std::shared_ptr<Flight> flight;
    RecorderPtr recorder;
    Value value;
    size_t live_slot = 0;  // position in the recorder's list of pending tensors
    uint64_t id;           // of the value: unlike an address, never given to another one

    explicit TensorImpl(TensorType t) : type(std::move(t)), id(next_id()) {}
    ~TensorImpl();
    TensorImpl(const TensorImpl&) = delete;
    TensorImpl& operator=(const TensorImpl&) = delete;
    [[nodiscard]] bool pending() const { return recorder != nullptr; }
    // Its memory gets another value. Whoever writes in place says so before, so that equal ids always mean equal values.
    void renew() { id = next_id(); }

  private:
    static uint64_t next_id();
};

// The storage of a variable: a cell whose current tensor changes. Old tensors keep their value.
struct CellImpl {
    TensorType type;
    TensorPtr value;
    std::string name;
    bool autocast = true;           // whether layers of mixed precision read it in their compute type
    void* owner = nullptr;          // the host language's object
    std::atomic<int> bindings = 0;  // threads on which another tensor stands for its value (see `substitute`)
};

struct Scalar {
    WeakKind kind = WeakKind::floating;
    double real = 0;
    int64_t integer = 0;
};
using OperandRef = std::variant<TensorPtr, CellPtr, Scalar>;

class Recorder : public std::enable_shared_from_this<Recorder> {
  public:
    // `parent`: the recorder that a body of control flow is recorded in; what is pending there can be used here.
    explicit Recorder(bool tracing, RecorderPtr parent = nullptr) : tracing_(tracing), parent_(std::move(parent)) {}

    [[nodiscard]] bool tracing() const { return tracing_; }
    [[nodiscard]] const RecorderPtr& parent() const { return parent_; }
    [[nodiscard]] bool inside(const Recorder& other) const;  // whether `other` is its parent, or further out
    [[nodiscard]] Graph& graph() { return graph_; }

    // The value of a tensor or cell in this recorder's graph; brings it in as a parameter when it is not yet there.
    Value import(const TensorPtr& tensor);
    Value import(const CellPtr& cell);
    TensorPtr wrap(Value v);  // a pending tensor for a value of the graph

    // The cell's tensor here, noted as one of its versions where gradients may be asked for. Each tape gets a tensor of its own:
    // what was read before it was opened is no read of the variable to it.
    TensorPtr read(const CellPtr& cell);
    TensorPtr current(const CellPtr& cell);  // the same without a note
    // A further value that the cell was read as.
    void note(const CellPtr& cell, TensorPtr version);
    // Tracing: recorded, takes effect at every run. Otherwise the cell holds the pending value, and takes its old one back
    // when the run that computes it fails.
    void assign(const CellPtr& cell, const TensorPtr& value);
    TensorPtr alias(const TensorPtr& value);  // the same value as another source of gradients
    // A tensor of its own with that value: what a variable holds. No gradient flows through.
    TensorPtr own(const TensorPtr& value);
    // What the cell was read as while gradients could be asked for.
    // `since`: for the tape that was the given one to be entered.
    [[nodiscard]] std::vector<TensorPtr> versions(const CellPtr& cell, uint64_t since = 0) const;
    // The value that was assigned, of one that was read.
    [[nodiscard]] Value origin(Value version) const;
    [[nodiscard]] std::vector<CellPtr> cells_read() const;
    TensorPtr add_input(TensorType type);  // tracing
    // Lazy recorders: runs everything that is pending and still referenced. What goes wrong in the run stays with the tensors
    // concerned, to be thrown when their values are asked for, and is returned.
    // `together`: if it fails, no variable changes, also those that could be computed.
    std::exception_ptr run_pending(bool together = false);
    void flush(bool together = false) {
        if (const std::exception_ptr error = run_pending(together)) std::rethrow_exception(error);
    }
    // Lazy recorders: whether as much was recorded since the last flush as should be run at one time.
    [[nodiscard]] bool full() const;
    // While a tape is open, what was flushed stays in the graph, so that gradients find their way through it.
    void open_tape() { ++tapes_; }
    void close_tape();
    [[nodiscard]] bool has_tapes() const { return tapes_ > 0; }
    // Tapes that are inside their `with`, recording or paused.
    [[nodiscard]] bool has_entered_tapes() const { return entered_tapes_ > 0; }
    uint64_t enter_tape() {  // returns how many were entered before
        ++entered_tapes_;
        return reading_++;
    }
    void leave_tape() { --entered_tapes_; }
    // Lazy recorders: whether the graph holds what was flushed already.
    [[nodiscard]] bool has_flushed_nodes() const { return !known_.empty(); }
    const std::thread::id thread = std::this_thread::get_id();
    void forget(TensorImpl* tensor);
    // A finished trace: its cells hold tensors that hold the recorder.
    void dispose() { cells_.clear(), cell_index_.clear(), versions_.clear(), leaves_.clear(), sources_.clear(); }

    struct Source {  // where a parameter's memory comes from
        enum class Kind : uint8_t { input, cell, tensor } kind;
        CellPtr cell;
        TensorPtr tensor;
    };
    struct CellState {
        Value parameter;
        TensorPtr current;
        bool written = false;
    };
    [[nodiscard]] const std::vector<Source>& sources() const { return sources_; }
    [[nodiscard]] const std::vector<std::pair<CellPtr, CellState>>& cells() const { return cells_; }

  private:
    CellState& state_of(const CellPtr& cell);
    void reset();
    // The part of the graph that computes `outputs` from what is in memory, and the tensors that are its parameters.
    struct Assigned {
        CellPtr cell;
        TensorPtr old;  // its value at the last flush; null when it had none
    };
    using Assignments = std::unordered_map<const CellImpl*, Assigned>;
    // Lets outputs that are new values of cells take the memory of the old ones, where nobody else refers to that.
    static void donate(Graph& graph, const Assignments& assigned, const std::vector<TensorPtr>& operands,
                       const std::map<Value, size_t>& output_of, std::vector<BufferPtr>& buffers);
    [[nodiscard]] Graph program(const std::vector<Value>& outputs, std::vector<TensorPtr>& operands) const;

    bool tracing_;
    RecorderPtr parent_;
    Graph graph_;
    int tapes_ = 0, entered_tapes_ = 0;
    uint64_t reading_ = 0;              // number of the tape entered last
    std::map<Value, TensorPtr> known_;  // values of the graph that were flushed while a tape was open
    Assignments assigned_;              // since the last flush
    uint32_t flushed_ = 0;              // size of the graph at the last flush
    size_t read_bytes_ = 0;             // of tensors imported since the last flush: the graph keeps them alive
    std::vector<TensorImpl*> live_;
    std::unordered_map<uint64_t, Value> leaves_;  // by the id of a tensor from outside
    struct Versions {
        CellPtr cell;
        struct Version {
            TensorPtr tensor;
            uint64_t of = 0;       // id of the cell's tensor that it stands for
            uint64_t reading = 0;  // number of the tape that was entered last
        };
        std::vector<Version> list;
    };
    std::unordered_map<const CellImpl*, Versions> versions_;
    std::vector<Source> sources_;
    std::vector<std::pair<CellPtr, CellState>> cells_;
    std::unordered_map<const CellImpl*, size_t> cell_index_;
};

// Lets a tensor stand for the cell's value on this thread, gradients included; null: its own value again. Assignments replace
// the tensor then.
void substitute(const CellPtr& cell, TensorPtr value);

// The recorder ops go to now, on this thread.
[[nodiscard]] Recorder& current_recorder();
void push_recorder(RecorderPtr recorder);
void pop_recorder();
[[nodiscard]] RecorderPtr thread_recorder();  // the thread's lazy one
// Gives the thread a new lazy recorder: the old one lives on in the tapes that need its graph.
RecorderPtr renew_thread_recorder(RecorderPtr with = nullptr);

void push_label(std::string label);
void pop_label();

[[nodiscard]] std::vector<TensorPtr> record(const OpDef& op, std::vector<OperandRef> operands, Attrs attrs);
[[nodiscard]] TensorPtr from_memory(TensorType type, BufferPtr buffer);
// Brings a tensor that is pending in a recorder which `r` does not see into memory.
void settle(Recorder& r, const TensorPtr& tensor);
// Gives the variable a new value: from here on in the current trace, or now.
void assign(const CellPtr& cell, const TensorPtr& value);
// Makes sure the tensor's value is in memory, waiting for or starting its run. TracedValueError for a traced tensor.
void evaluate(const TensorPtr& tensor);

struct CacheStats {
    uint64_t hits = 0, misses = 0;
    size_t size = 0;
};
[[nodiscard]] CacheStats cache_stats();

}  // namespace fk
