# The Python module fastkeras._engine, its type stub, and what is installed beside it.

execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT
                OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE FK_NO_NANOBIND)
if(FK_NO_NANOBIND)
    message(FATAL_ERROR "nanobind was not found in ${Python_EXECUTABLE}. Install it with: pip install 'nanobind>=2.4'")
endif()
find_package(nanobind CONFIG REQUIRED)

file(GLOB FK_PYTHON_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/csrc/python/*.cpp)
# STABLE_ABI takes effect from CPython 3.12 on, and only when the build asks for it (wheel.py-api in pyproject.toml).
nanobind_add_module(_engine NB_STATIC STABLE_ABI NOMINSIZE ${FK_PYTHON_SOURCES})
target_link_libraries(_engine PRIVATE fk_engine)
target_link_options(_engine PRIVATE LINKER:--exclude-libs,ALL LINKER:--gc-sections)
fk_use_onednn(_engine)

set(FK_MODULE_DIR fastkeras)
install(TARGETS _engine LIBRARY DESTINATION ${FK_MODULE_DIR})
fk_install_onednn(${FK_MODULE_DIR})

if(NOT FASTKERAS_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    # oneDNN's directory is in the run path of the built module, so it can be imported from the build tree.
    nanobind_add_stub(_engine_stub MODULE _engine OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/_engine.pyi
                      PYTHON_PATH $<TARGET_FILE_DIR:_engine> DEPENDS _engine)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/_engine.pyi DESTINATION ${FK_MODULE_DIR})
endif()
