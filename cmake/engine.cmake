# fk_engine: everything but the bindings, as one static library.

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
# The Python found here is also the one that knows where pip put oneDNN. scikit-build-core passes Python_EXECUTABLE.
if(FASTKERAS_BUILD_PYTHON)
    set(FK_PYTHON_DEVELOPMENT Development.Module)
    if(DEFINED SKBUILD_SABI_COMPONENT)
        list(APPEND FK_PYTHON_DEVELOPMENT ${SKBUILD_SABI_COMPONENT})
    endif()
    find_package(Python 3.10 REQUIRED COMPONENTS Interpreter ${FK_PYTHON_DEVELOPMENT})
endif()

set(FK_SOURCE_GLOBS core ir ops passes codegen runtime cpu cuda cuda/ops null)
list(TRANSFORM FK_SOURCE_GLOBS REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/csrc/\\1/*.cpp")
file(GLOB FK_ENGINE_SOURCES CONFIGURE_DEPENDS ${FK_SOURCE_GLOBS})

add_library(fk_engine STATIC ${FK_ENGINE_SOURCES})
target_include_directories(fk_engine PUBLIC ${PROJECT_SOURCE_DIR}/csrc ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(fk_engine PUBLIC FK_VERSION="${PROJECT_VERSION}")
target_link_libraries(fk_engine PUBLIC OpenMP::OpenMP_CXX Threads::Threads ${CMAKE_DL_LIBS})

include(embed)
fk_embed_cuda(fk_engine)

include(kernels)
fk_add_cpu_kernels(fk_engine)

include(onednn)
fk_use_onednn(fk_engine)

# Not on by default: the wheel carries the module and oneDNN only. `cmake --install build --component headers` gives the
# public headers.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/fastkeras DESTINATION include COMPONENT headers EXCLUDE_FROM_ALL)
