// The C face of the public API: exceptions become status codes and a message kept per thread.
#include "fastkeras/c_api.h"

#include <string>

#include "fastkeras/fastkeras.h"

struct fastkeras_program {
    fastkeras::Program program;
};

namespace {

std::string& last_error() {
    thread_local std::string message;
    return message;
}

template <class F>
int guarded(F&& f) noexcept {
    int status = FASTKERAS_INTERNAL_ERROR;
    try {
        f();
        return FASTKERAS_OK;
    } catch (const fastkeras::InvalidArgument& e) {
        status = FASTKERAS_INVALID_ARGUMENT;
        last_error() = e.what();
    } catch (const fastkeras::Unsupported& e) {
        status = FASTKERAS_UNSUPPORTED;
        last_error() = e.what();
    } catch (const std::exception& e) {
        last_error() = e.what();
    }
    return status;
}

}  // namespace

int fastkeras_compile(const char* graph_text, fastkeras_program** program) {
    return guarded([&] { *program = new fastkeras_program{fastkeras::GraphBuilder::parse(graph_text).compile()}; });
}

void fastkeras_program_free(fastkeras_program* program) { delete program; }

size_t fastkeras_input_count(const fastkeras_program* program) { return program->program.inputs().size(); }
size_t fastkeras_output_count(const fastkeras_program* program) { return program->program.outputs().size(); }
size_t fastkeras_input_bytes(const fastkeras_program* program, size_t input) { return program->program.inputs()[input].bytes(); }
size_t fastkeras_output_bytes(const fastkeras_program* program, size_t output) {
    return program->program.outputs()[output].bytes();
}

int fastkeras_run(const fastkeras_program* program, const void* const* inputs, void* const* outputs) {
    const fastkeras::Program& p = program->program;
    return guarded([&] { p.run({inputs, p.inputs().size()}, {outputs, p.outputs().size()}); });
}

const char* fastkeras_last_error(void) { return last_error().c_str(); }
