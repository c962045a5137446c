# What the targets share: Debian's cross compiler of TRIPLE, libraries from the Debian root that toolchains/sysroot makes, programs run under
# qemu-user. A target's file sets CMAKE_SYSTEM_PROCESSOR, TARGET, TRIPLE and QEMU, and includes this.
set(CMAKE_SYSTEM_NAME Linux)
if(RIVULET_CLANG)  # -DRIVULET_CLANG=clang++: in half of gcc's time, for tests; it takes the libraries that gcc takes
  set(CMAKE_CXX_COMPILER ${RIVULET_CLANG})
  set(CMAKE_CXX_COMPILER_TARGET ${TRIPLE})
  set(linker -fuse-ld=lld)
  list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RIVULET_CLANG)
else()
  set(CMAKE_CXX_COMPILER ${TRIPLE}-g++)
endif()
set(CMAKE_LIBRARY_ARCHITECTURE ${TRIPLE})

# RIVULET_SYSROOT may be given by -D or by the environment; a configured tree keeps it. CMake's trial programs get it too.
if(NOT RIVULET_SYSROOT)
  if(DEFINED ENV{RIVULET_SYSROOT})
    set(RIVULET_SYSROOT $ENV{RIVULET_SYSROOT})
  else()
    get_filename_component(RIVULET_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/${TARGET} ABSOLUTE)
  endif()
endif()
set(RIVULET_SYSROOT ${RIVULET_SYSROOT} CACHE PATH "the Debian root of the target: toolchains/sysroot ${TARGET}")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RIVULET_SYSROOT)
if(NOT IS_DIRECTORY ${RIVULET_SYSROOT}/usr/include)
  message(FATAL_ERROR "${RIVULET_SYSROOT} is no Debian root of ${TARGET}; make it: toolchains/sysroot ${TARGET}")
endif()
set(CMAKE_SYSROOT ${RIVULET_SYSROOT})
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${RIVULET_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${RIVULET_SYSROOT}/usr/lib/${TRIPLE}/pkgconfig:${RIVULET_SYSROOT}/usr/share/pkgconfig)
unset(ENV{PKG_CONFIG_PATH})
# The C++ libraries of a Debian newer than the compiler want a newer libstdc++ than the compiler's own; on the target they find theirs.
set(CMAKE_EXE_LINKER_FLAGS_INIT "${linker} -Wl,--allow-shlib-undefined")

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# ctest runs what was built for another processor; where this one can, it just runs it.
if(NOT CMAKE_HOST_SYSTEM_PROCESSOR STREQUAL CMAKE_SYSTEM_PROCESSOR)
  find_program(RIVULET_QEMU NAMES ${QEMU}-static ${QEMU})
  if(RIVULET_QEMU)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${RIVULET_QEMU};-L;${RIVULET_SYSROOT})
  endif()
endif()
