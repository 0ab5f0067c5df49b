# Every spec/c/NAME_test.c is an executable NAME_test, registered with ctest. The other files
# of spec/c are helpers, in one library, from which a test takes what it names.
#
# A test links only the layers that it (and the helpers whose headers it includes) includes:
# a layer that does not compile stops the tests of that layer, not the others.

pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
if(NOT CMOCKA_FOUND)
  message(STATUS "cmocka is missing: no C tests (tools/install-packages test)")
  return()
endif()
enable_testing()
find_package(OpenSSL QUIET)

file(GLOB spec_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/spec/c/*.c)
set(spec_tests ${spec_sources})
list(FILTER spec_tests INCLUDE REGEX "_test\\.c$")
set(spec_helpers ${spec_sources})
list(FILTER spec_helpers EXCLUDE REGEX "_test\\.c$")

if(spec_helpers)
  add_library(spec_helpers STATIC ${spec_helpers})
  target_link_libraries(spec_helpers PUBLIC tidegate_flags PkgConfig::CMOCKA PkgConfig::UV
                                            PkgConfig::OPENSSL PkgConfig::LUA llhttp
                                            Threads::Threads)
endif()

# Sets OUT to the layers that the quoted includes of the files name.
function(layers_included out)
  set(layers "")
  foreach(source IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} lines REGEX "^#include \"")
    foreach(line IN LISTS lines)
      string(REGEX MATCH "\"(base|state|io|engine|bind)/" matched "${line}")
      if(matched)
        list(APPEND layers ${CMAKE_MATCH_1})
        continue()
      endif()
      string(REGEX MATCH "\"([a-z0-9_]+)\\.h\"" matched "${line}")
      foreach(helper IN ITEMS ${CMAKE_SOURCE_DIR}/spec/c/${CMAKE_MATCH_1}.h
                              ${CMAKE_SOURCE_DIR}/spec/c/${CMAKE_MATCH_1}.c)
        if(EXISTS ${helper} AND NOT helper IN_LIST visited)
          list(APPEND visited ${helper})
          layers_included(of_helper ${helper})
          list(APPEND layers ${of_helper})
        endif()
      endforeach()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES layers)
  set(${out} ${layers} PARENT_SCOPE)
endfunction()

set(test_names "")
foreach(source IN LISTS spec_tests)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/spec/c)
  if(spec_helpers)
    target_link_libraries(${name} PRIVATE spec_helpers)
  endif()
  layers_included(layers ${source})
  foreach(layer IN ITEMS bind engine io state base)
    if(layer IN_LIST layers AND TARGET tidegate_${layer})
      target_link_libraries(${name} PRIVATE tidegate_${layer})
    endif()
  endforeach()
  target_link_libraries(${name} PRIVATE tidegate_flags PkgConfig::CMOCKA PkgConfig::LUA
                                        PkgConfig::UV PkgConfig::OPENSSL PkgConfig::SQLITE
                                        llhttp Threads::Threads)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/spec
                                           ENABLE_EXPORTS ON)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120)
  string(APPEND test_names "${name}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/spec/tests.txt "${test_names}")
