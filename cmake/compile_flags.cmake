# Flags of our own code (tidegate_flags) and of everything (sanitizers).

add_library(tidegate_flags INTERFACE)
target_compile_options(tidegate_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror)
target_compile_definitions(tidegate_flags INTERFACE
  _GNU_SOURCE TIDEGATE_VERSION="${PROJECT_VERSION}")
target_include_directories(tidegate_flags INTERFACE ${CMAKE_SOURCE_DIR}/runtime)

# Names of files inside the binary are relative, so that builds of one commit are equal.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

if(SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(NOT SANITIZE STREQUAL "")
  message(FATAL_ERROR "SANITIZE is address, thread or empty, not '${SANITIZE}'")
endif()

if(FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
