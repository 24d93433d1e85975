# oneDNN: the imported target fk::onednn, and fk_install_onednn(destination), which puts exactly one copy of the library
# beside the module. Found through DNNL_ROOT or dnnl_DIR when set, else as the PyPI distribution `onednn-devel-cpu-gomp` of
# the Python that builds (its file list says where pip put it), else anywhere find_package looks.

function(fk_find_onednn)
    if(NOT DNNL_ROOT AND NOT dnnl_DIR AND NOT Python_EXECUTABLE)
        find_package(Python 3.10 COMPONENTS Interpreter QUIET)
    endif()
    set(include "")
    if(NOT DNNL_ROOT AND NOT dnnl_DIR AND Python_EXECUTABLE)
        execute_process(
            COMMAND ${Python_EXECUTABLE} -c "
from importlib import metadata
found = {}
for name in ('onednn-devel-cpu-gomp', 'onednn-cpu-gomp'):
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        files = []
    for f in files:
        path = f.as_posix()
        if path.endswith('include/oneapi/dnnl/dnnl.h'):
            found['include'] = f.locate().resolve().parents[2].as_posix()
        elif path.endswith('/libdnnl.so.3'):
            found.setdefault('library', f.locate().absolute().as_posix())
        elif path.endswith('THIRD-PARTY-PROGRAMS'):
            found['notices'] = f.locate().resolve().parent.as_posix()
print(';'.join(found.get(k, '') for k in ('include', 'library', 'notices')))
"
            OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
        if(NOT failed)
            list(GET found 0 include)
            list(GET found 1 library)
            list(GET found 2 notices)
        endif()
    endif()
    if(include AND library AND EXISTS "${library}")
        # The name the loader looks for is the library's soname, libdnnl.so.3.
        add_library(fk::onednn SHARED IMPORTED GLOBAL)
        set_target_properties(fk::onednn PROPERTIES IMPORTED_LOCATION "${library}" IMPORTED_SONAME libdnnl.so.3
                                                    INTERFACE_INCLUDE_DIRECTORIES "${include}")
        set_property(GLOBAL PROPERTY FK_ONEDNN_LIBRARY "${library}")
        set_property(GLOBAL PROPERTY FK_ONEDNN_NOTICES "${notices}")
        message(STATUS "oneDNN: ${library}")
        return()
    endif()
    find_package(dnnl 3.2 CONFIG QUIET HINTS ${DNNL_ROOT})
    if(NOT dnnl_FOUND)
        message(FATAL_ERROR "oneDNN was not found. Install it for the Python that builds (pip install onednn-devel-cpu-gomp==2023.2.0), "
                            "or set DNNL_ROOT to the prefix of a oneDNN 3.x installation.")
    endif()
    add_library(fk::onednn INTERFACE IMPORTED GLOBAL)
    target_link_libraries(fk::onednn INTERFACE DNNL::dnnl)
    get_target_property(kind DNNL::dnnl TYPE)
    if(kind STREQUAL "SHARED_LIBRARY")
        foreach(config LOCATION LOCATION_RELEASE LOCATION_RELWITHDEBINFO LOCATION_NONE LOCATION_DEBUG)
            get_target_property(library DNNL::dnnl IMPORTED_${config})
            if(library)
                set_property(GLOBAL PROPERTY FK_ONEDNN_LIBRARY "${library}")
                break()
            endif()
        endforeach()
    endif()
    message(STATUS "oneDNN: ${dnnl_DIR}")
endfunction()

# Copies the library under its soname into `destination` of the install tree, with its licence notices when known. The
# targets that load it need the run path $ORIGIN (see fk_use_onednn).
function(fk_install_onednn destination)
    get_property(library GLOBAL PROPERTY FK_ONEDNN_LIBRARY)
    get_property(notices GLOBAL PROPERTY FK_ONEDNN_NOTICES)
    if(library)
        file(REAL_PATH "${library}" real)
        install(PROGRAMS "${real}" DESTINATION "${destination}" RENAME libdnnl.so.3)
    endif()
    foreach(notice LICENSE THIRD-PARTY-PROGRAMS)
        if(notices AND EXISTS "${notices}/${notice}")
            install(FILES "${notices}/${notice}" DESTINATION "${destination}/licenses/onednn")
        endif()
    endforeach()
endfunction()

# Links `target` with oneDNN and makes an installed target look for it beside itself.
function(fk_use_onednn target)
    target_link_libraries(${target} PRIVATE fk::onednn)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
endfunction()

if(NOT TARGET fk::onednn)
    fk_find_onednn()
endif()
