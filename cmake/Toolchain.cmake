# Compiler flags, linker, sanitizers and the compiler cache: one place, used by every target.
option(GANTRY_ASAN "address and undefined behaviour sanitizers" OFF)
option(GANTRY_TSAN "thread sanitizer" OFF)
option(GANTRY_FUZZ "build the libFuzzer targets" OFF)

find_program(GANTRY_CCACHE ccache)
if(GANTRY_CCACHE)
  # pch_defines and time_macros: a precompiled header must not make every object uncacheable.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${GANTRY_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
find_program(GANTRY_LLD ld.lld-22)
if(GANTRY_LLD)
  add_link_options(-fuse-ld=lld-22)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers -Wno-missing-designated-field-initializers
  -fno-omit-frame-pointer -fstack-protector-strong
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GLIBCXX_ASSERTIONS
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_CO_AWAIT BOOST_ASIO_HAS_STD_COROUTINE
  BOOST_ASIO_DISABLE_BOOST_COROUTINE)

if(GANTRY_ASAN)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(GANTRY_TSAN)
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
endif()
if(GANTRY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
