# What we stand on. Everything comes from Debian; packages.txt names the packages.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
find_package(ZLIB QUIET)

# The whole of Lua is linked in: calls into it are then direct, not through a table, and its
# symbols are there for the modules of C that specs load (the executable exports them).
find_library(LUA_ARCHIVE NAMES liblua5.4.a REQUIRED)
set_target_properties(PkgConfig::LUA PROPERTIES INTERFACE_LINK_LIBRARIES
  "-Wl,--whole-archive,${LUA_ARCHIVE},--no-whole-archive;m;dl")

# Debian ships llhttp as source. Its header decides the layout of the parser by
# LLHTTP_STRICT_MODE, so the definition must reach whoever includes it.
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp REQUIRED NO_DEFAULT_PATH)
find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp REQUIRED NO_DEFAULT_PATH)
add_library(llhttp STATIC ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c
                          ${LLHTTP_SOURCE_DIR}/llhttp.c)
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
target_compile_options(llhttp PRIVATE -w)
