// Recording: the one way anything runs. An op on tensors appends a node to a recorder's graph; the graph is compiled
// (or found in the cache) and run when a value is asked for, or becomes an Executable when it was traced.
//
// Start reading at `record`. A thread has one lazy recorder; `Trace` puts another recorder on top of it for a while.
// All functions here are called with the host language's lock held; only running a plan releases it (see HostLock).
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
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

// The host language's global lock, released around the run of a plan. Set once by the Python module.
struct HostLock {
    void* (*release)() = nullptr;
    void (*acquire)(void*) = nullptr;
};
void set_host_lock(HostLock lock);

// A run in progress whose results other threads may wait for.
class Flight {
  public:
    void land(std::exception_ptr error);
    void wait();  // releases the host lock meanwhile; rethrows what the run threw
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

    explicit TensorImpl(TensorType t) : type(std::move(t)) {}
    ~TensorImpl();
    TensorImpl(const TensorImpl&) = delete;
    TensorImpl& operator=(const TensorImpl&) = delete;
    [[nodiscard]] bool pending() const { return recorder != nullptr; }
};

// The storage of a variable: a cell whose current tensor changes. Old tensors keep their value.
struct CellImpl {
    TensorType type;
    TensorPtr value;
    std::string name;
    bool autocast = true;  // whether layers of mixed precision read it in their compute type
};

struct Scalar {
    WeakKind kind = WeakKind::floating;
    double real = 0;
    int64_t integer = 0;
};
using OperandRef = std::variant<TensorPtr, CellPtr, Scalar>;

class Recorder : public std::enable_shared_from_this<Recorder> {
  public:
    explicit Recorder(bool tracing) : tracing_(tracing) {}

    [[nodiscard]] bool tracing() const { return tracing_; }
    [[nodiscard]] Graph& graph() { return graph_; }

    // The value of a tensor or cell in this recorder's graph; brings it in as a parameter when it is not yet there.
    Value import(const TensorPtr& tensor);
    Value import(const CellPtr& cell);
    TensorPtr wrap(Value v);  // a pending tensor for a value of the graph

    TensorPtr read(const CellPtr& cell);                // tracing: the cell's traced value
    void assign(const CellPtr& cell, TensorPtr value);  // tracing: recorded, takes effect at every run
    TensorPtr add_input(TensorType type);               // tracing
    // The parameter that stands for the cell's value at the start, if the cell was read.
    [[nodiscard]] Value cell_parameter(const CellPtr& cell) const;

    // Lazy recorders: runs everything that is pending and still referenced. What goes wrong in the run stays with the tensors
    // concerned, to be thrown when their values are asked for, and is returned.
    std::exception_ptr run_pending();
    void flush() {
        if (const std::exception_ptr error = run_pending()) std::rethrow_exception(error);
    }
    // Lazy recorders: whether as much was recorded since the last flush as should be run at one time.
    [[nodiscard]] bool full() const;
    // Between these two, what was flushed stays in the graph, so that gradients find their way through it.
    void open_tape() { ++tapes_; }
    void close_tape();
    void forget(TensorImpl* tensor);
    void dispose() { cells_.clear(), cell_index_.clear(); }  // a finished trace: its cells hold tensors that hold the recorder

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
    [[nodiscard]] Graph program(const std::vector<Value>& outputs, std::vector<TensorPtr>& operands) const;

    bool tracing_;
    Graph graph_;
    int tapes_ = 0;
    std::map<Value, TensorPtr> known_;  // values of the graph that were flushed while a tape was open
    uint32_t flushed_ = 0;              // size of the graph at the last flush
    size_t read_bytes_ = 0;             // of tensors imported since the last flush: the graph keeps them alive
    std::vector<TensorImpl*> live_;
    std::unordered_map<const Buffer*, Value> leaves_;
    std::vector<Source> sources_;
    std::vector<std::pair<CellPtr, CellState>> cells_;
    std::unordered_map<const CellImpl*, size_t> cell_index_;
};

// The recorder ops go to now, on this thread.
[[nodiscard]] Recorder& current_recorder();
void push_recorder(RecorderPtr recorder);
void pop_recorder();
[[nodiscard]] RecorderPtr thread_recorder();  // the thread's lazy one

void push_label(std::string label);
void pop_label();

[[nodiscard]] std::vector<TensorPtr> record(const OpDef& op, std::vector<OperandRef> operands, Attrs attrs);
[[nodiscard]] TensorPtr from_memory(TensorType type, BufferPtr buffer);
[[nodiscard]] std::vector<TensorPtr> gradients(const std::vector<TensorPtr>& targets, const std::vector<OperandRef>& sources,
                                               const std::vector<TensorPtr>& seeds);
// Makes sure the tensor's value is in memory, waiting for or starting its run. TracedValueError for a traced tensor.
void evaluate(const TensorPtr& tensor);

// A traced and compiled function of its inputs and of the cells it reads and writes.
class Executable {
  public:
    Executable(Recorder& trace, const std::vector<TensorPtr>& outputs);

    struct Input {
        const void* data = nullptr;  // used as it is when `tensor` is null
        TensorPtr tensor;
    };
    [[nodiscard]] const std::vector<TensorType>& input_types() const { return input_types_; }
    [[nodiscard]] const Plan& plan() const { return *plan_; }
    std::vector<TensorPtr> run(const std::vector<Input>& inputs);
    uint64_t runs = 0;

  private:
    std::shared_ptr<const Plan> plan_;
    std::vector<TensorType> input_types_;
    std::vector<Recorder::Source> sources_;
    std::vector<int32_t> input_of_;  // per parameter: number of the input, or -1
    size_t results_ = 0;             // the first outputs are returned, the others written to cells
    std::vector<CellPtr> written_;   // per further output
};

struct CacheStats {
    uint64_t hits = 0, misses = 0;
    size_t size = 0;
};
[[nodiscard]] CacheStats cache_stats();

}  // namespace fk
