# How everything here is compiled: build type, warnings, visibility, sanitizers, compiler cache.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
# The engine spends its time in the kernels, which cmake/kernels.cmake compiles with -O3 of their own.
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(FK_CCACHE ccache)
    if(FK_CCACHE)
        set(CMAKE_CXX_COMPILER_LAUNCHER ${FK_CCACHE})
    endif()
endif()

# Never -ffast-math: NaN, infinities and signed zeros mean what IEEE 754 says.
add_compile_options(-Wall -Wextra -Wno-unused-parameter)

if(FASTKERAS_SANITIZE)
    add_compile_options(-fsanitize=${FASTKERAS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
    add_link_options(-fsanitize=${FASTKERAS_SANITIZE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow)  # false alarms under instrumentation
    endif()
endif()
