# Every spec/fuzz/NAME_fuzz.c as a libFuzzer executable; given files, it replays them.

if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "FUZZ needs clang: cmake -DCMAKE_C_COMPILER=clang -DFUZZ=ON")
endif()

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/spec/fuzz/*_fuzz.c)
set(fuzz_names "")
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${TIDEGATE_LAYERS} tidegate_flags)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  string(APPEND fuzz_names "${name}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/fuzz/targets.txt "${fuzz_names}")
