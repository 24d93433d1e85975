/* The public C API: compile the text form of a graph, run it on memory the caller owns. The text is what
 * GraphBuilder::text() and Python's Executable.graph_text() give:
 *
 *   %0 = parameter() : float32[2]
 *   %1 = exp(%0) : float32[2]
 *   return %1
 *
 * Functions return 0, or another status after which fastkeras_last_error() says what happened. */
#ifndef FASTKERAS_C_API_H
#define FASTKERAS_C_API_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FASTKERAS_C_API __attribute__((visibility("default")))
#else
#define FASTKERAS_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fastkeras_program fastkeras_program;

enum { FASTKERAS_OK = 0, FASTKERAS_INVALID_ARGUMENT = 1, FASTKERAS_UNSUPPORTED = 2, FASTKERAS_INTERNAL_ERROR = 3 };

/* The caller owns *program and releases it with fastkeras_program_free, which accepts NULL. */
FASTKERAS_C_API int fastkeras_compile(const char* graph_text, fastkeras_program** program);
FASTKERAS_C_API void fastkeras_program_free(fastkeras_program* program);

FASTKERAS_C_API size_t fastkeras_input_count(const fastkeras_program* program);
FASTKERAS_C_API size_t fastkeras_output_count(const fastkeras_program* program);
FASTKERAS_C_API size_t fastkeras_input_bytes(const fastkeras_program* program, size_t input);
FASTKERAS_C_API size_t fastkeras_output_bytes(const fastkeras_program* program, size_t output);

/* One pointer per input and output, dense row-major memory. Safe from several threads at a time. */
FASTKERAS_C_API int fastkeras_run(const fastkeras_program* program, const void* const* inputs, void* const* outputs);

/* The message of this thread's last failure; valid until its next one. */
FASTKERAS_C_API const char* fastkeras_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
