# base <- state <- bind     base <- io <- bind     base <- engine <- bind     bind <- main
#
# A layer gets only the include paths and libraries it may use; tools/lint-includes checks
# what the compiler cannot.

set(TIDEGATE_LAYERS "")

# add_layer(NAME libraries...): every runtime/NAME/*.c as the library tidegate_NAME.
function(add_layer name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(tidegate_${name} STATIC ${sources})
  target_link_libraries(tidegate_${name} PUBLIC tidegate_flags)
  foreach(library IN LISTS ARGN)
    if(TARGET ${library})
      target_link_libraries(tidegate_${name} PUBLIC ${library})
    endif()
  endforeach()
  set(TIDEGATE_LAYERS tidegate_${name} ${TIDEGATE_LAYERS} PARENT_SCOPE)
endfunction()

add_layer(base Threads::Threads)
if(TARGET tidegate_base)
  target_link_libraries(tidegate_base PUBLIC m)
endif()
add_layer(state tidegate_base)
add_layer(io tidegate_base PkgConfig::UV PkgConfig::CURL PkgConfig::CARES PkgConfig::SQLITE
             PkgConfig::OPENSSL PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::EXPAT PkgConfig::EDIT
             llhttp ZLIB::ZLIB)
add_layer(engine tidegate_base PkgConfig::UV PkgConfig::LUA)
add_layer(bind tidegate_state tidegate_io tidegate_engine tidegate_base PkgConfig::UV
               PkgConfig::LUA PkgConfig::SQLITE PkgConfig::OPENSSL PkgConfig::PCRE2
               PkgConfig::UTF8PROC)
