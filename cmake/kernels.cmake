# The CPU kernels: every source of csrc/cpu/kernels listed here is compiled once per instruction set into its own namespace
# (FK_ISA_NAMESPACE); cpu/isa.cpp picks one set when the library runs. Include this file and call fk_add_cpu_kernels(target).

set(FK_KERNEL_SOURCES
    float.cpp transcendental.cpp double.cpp integer.cpp convert.cpp reduce.cpp move.cpp philox.cpp table.cpp
    own_gemm.cpp own_mixed_gemm.cpp own_rows.cpp own_norm.cpp own_pool.cpp own_optimizer.cpp own_epilogue.cpp own_attention.cpp
    own_winograd.cpp own_recurrent.cpp own_recurrent_grad.cpp own_table.cpp)

# No code here reads errno or floating-point exceptions; the compiler may then vectorise square roots, roundings and selects.
set(FK_KERNEL_FLAGS
    -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math -ffp-contract=fast -fno-strict-aliasing -fvisibility=hidden -Wno-psabi
    -Wno-maybe-uninitialized -Wno-uninitialized)  # GCC 12 warns inside its own intrinsics headers

set(FK_ISA_FLAGS_portable "")
set(FK_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(FK_ISA_FLAGS_avx512
    -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
set(FK_ISA_FLAGS_avx512_bf16 ${FK_ISA_FLAGS_avx512} -mavx512bf16)

function(fk_add_cpu_kernels target)
    set(isas portable)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
        list(APPEND isas avx2 avx512 avx512_bf16)
    endif()
    list(TRANSFORM FK_KERNEL_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/csrc/cpu/kernels/ OUTPUT_VARIABLE sources)
    foreach(isa IN LISTS isas)
        set(objects fk_kernels_${isa})
        add_library(${objects} OBJECT ${sources})
        target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR}/csrc)
        target_compile_features(${objects} PRIVATE cxx_std_20)
        target_compile_definitions(${objects} PRIVATE FK_ISA_NAMESPACE=isa_${isa})
        target_compile_options(${objects} PRIVATE ${FK_KERNEL_FLAGS} ${FK_ISA_FLAGS_${isa}})
        set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
    endforeach()
endfunction()
