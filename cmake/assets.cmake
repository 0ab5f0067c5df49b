# scripts/**, providers/*.lua and migrations inside the binary, as one generated table.

file(GLOB_RECURSE asset_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
     ${CMAKE_SOURCE_DIR}/scripts/* ${CMAKE_SOURCE_DIR}/providers/*.lua)
list(TRANSFORM asset_files PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE asset_paths)
find_program(LUA_INTERPRETER NAMES lua5.4 lua REQUIRED)

add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/assets.c
  COMMAND ${LUA_INTERPRETER} tools/embed.lua ${CMAKE_BINARY_DIR}/assets.c
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  DEPENDS ${asset_paths} ${CMAKE_SOURCE_DIR}/tools/embed.lua
  COMMENT "Embedding scripts and providers"
  VERBATIM)

add_library(tidegate_assets STATIC ${CMAKE_BINARY_DIR}/assets.c)
target_link_libraries(tidegate_assets PRIVATE tidegate_flags)

# Development builds look on disk first, so that an edit needs no build.
if(TARGET tidegate_bind AND NOT EMBED)
  target_compile_definitions(tidegate_bind PRIVATE TIDEGATE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
endif()
if(TARGET tidegate_bind)
  target_link_libraries(tidegate_bind PUBLIC tidegate_assets)
endif()
